import t from "tap";
import { bringAbout, nothing } from "./testing/bring-about.js";
import { Model } from "./testing/model.js";
import { endpoint, network, sandbox, wantedOf } from "./testing/wanted.js";

const on = network(1, { isPair: true, addresses: [] });
const [a, b] = [sandbox("a"), sandbox("b")];
const place = (of: typeof a, ip: string) => endpoint(of, on, { gateways: [], addresses: [{ ip, prefix: 30 }] });
const [one, other] = [place(a, "10.1.0.1"), place(b, "10.1.0.2")];
const wanted = wantedOf([on], [a, b], [other, one]);
const whole = ["a-net1: make-pair", "a-net1: set-inside +10.1.0.1/30", "b-net1: set-inside +10.1.0.2/30"];

function made(): Model {
  const model = new Model();
  bringAbout(wanted, model);
  return model;
}

t.test("two sandboxes are the ends of one link", (t) => {
  const model = new Model();
  t.same(bringAbout(wanted, model), ["a: make-namespace", "b: make-namespace", ...whole]);
  t.same([...model.host.links.keys()], ["uplink"], "the host has no part in it");
  t.same(bringAbout(wanted, model), []);
  t.end();
});

t.test("the first end waits for the other", (t) => {
  const model = new Model();
  t.same(bringAbout(wantedOf([on], [a], [one]), model), ["a: make-namespace"]);
  t.same(bringAbout(wanted, model), ["b: make-namespace", ...whole]);
  const absent = sandbox("b", { target: "/run/netns/b" });
  t.same(bringAbout(wantedOf([on], [a, absent], [one, other]), new Model()), ["a: make-namespace"]);
  t.end();
});

t.test("what is not as it should be is mended", (t) => {
  const end = (model: Model, of: typeof a) => model.space(of.path).link("eth1");
  const cases: [what: string, harm: (model: Model) => void, steps: string[]][] = [
    ["both ends are gone", (model) => [a, b].forEach((of) => model.space(of.path).delete(end(model, of))), whole],
    ["one end is gone", (model) => model.space(b.path).delete(end(model, b)), ["a-net1: delete-inside", ...whole]],
    ["the other is", (model) => model.space(a.path).delete(end(model, a)), ["a-net1: delete-inside", ...whole]],
    [
      "it leads elsewhere",
      (model) => (end(model, a).peer = 77),
      ["a-net1: delete-inside", "a-net1: delete-inside", ...whole],
    ],
    ["an end is down", (model) => (end(model, b).isUp = false), ["b-net1: set-inside"]],
    ["it does not say whose it is", (model) => (end(model, a).alias = undefined), ["a-net1: set-inside"]],
  ];
  for (const [what, harm, steps] of cases) {
    const model = made();
    harm(model);
    t.same(bringAbout(wanted, model), steps, what);
    t.same(bringAbout(wanted, model), [], `${what}: then all is well`);
  }
  t.end();
});

t.test("when one end is taken away, the link goes", (t) => {
  const model = made();
  const left = wantedOf([on], [a, b], [one]);
  t.same(bringAbout(left, model, { ...nothing, endpoints: [[other, b]] }), ["b-net1: delete-inside"]);
  t.same(bringAbout(wantedOf([], [a, b], []), model), [], "with its other end");
  t.end();
});
