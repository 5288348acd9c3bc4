import t from "tap";
import { retiredGroup, type Wanted, type WantedBandwidth } from "../wanted.js";
import { bucketOf } from "./bandwidth-plan.js";
import { leftovers } from "./leftovers.js";
import { planBandwidths } from "./plan.js";
import { bringAbout, inWords, nothing } from "./testing/bring-about.js";
import { Model } from "./testing/model.js";
import { endpoint, handover, network, sandbox, wantedOf } from "./testing/wanted.js";

const [on, box] = [network(1), sandbox("a")];
const bandwidth: WantedBandwidth = { toSandbox: { rate: 20e6 }, fromSandbox: { rate: 8e6 } };
const place = endpoint(box, on, { bandwidth });
const both = wantedOf([on], [box], [place]);
const handed = handover("h", on, { bandwidth });
const shaper = "ptsa-net1";

function made(wanted: Wanted): Model {
  const model = new Model();
  bringAbout(wanted, model);
  return model;
}

const limiting = [
  "a-net1: make-shaper",
  `a-net1: limit-rate ${shaper} 1000000`,
  "a-net1: redirect",
  "a-net1: limit-rate v-a-1 2500000",
];

t.test("an endpoint is limited both ways before it is in its bridge, or one way", (t) => {
  t.same(bringAbout(both, new Model()).slice(-6), [
    "a-net1: set-inside +10.1.0.2/24 +via 10.1.0.1",
    ...limiting,
    "a-net1: attach",
  ]);
  const onlyTo = wantedOf([on], [box], [{ ...place, bandwidth: { toSandbox: { rate: 20e6 } } }]);
  t.same(bringAbout(onlyTo, new Model()).slice(-2), ["a-net1: limit-rate v-a-1 2500000", "a-net1: attach"]);
  const onlyFrom = wantedOf([on], [box], [{ ...place, bandwidth: { fromSandbox: { rate: 8e6 } } }]);
  t.same(bringAbout(onlyFrom, new Model()).slice(-4), [...limiting.slice(0, 3), "a-net1: attach"]);
  t.same(bringAbout(wantedOf([on], [], [], [handed]), new Model()).slice(-6), [
    "h: make-handover",
    "h: make-shaper",
    "h: limit-rate ptsh 1000000",
    "h: redirect",
    "h: limit-rate h-h 2500000",
    "h: attach",
  ]);
  t.end();
});

t.test("a single thing that is amiss takes exactly the steps that mend it", (t) => {
  const cases: [what: string, harm: (model: Model, of: { link: number; shaper: number }) => void, steps: string[]][] = [
    ["nothing", () => undefined, []],
    [
      "the host's end has lost its bucket",
      (model, { link }) => change(model, link, { bucket: undefined }),
      [limiting[3]!],
    ],
    [
      "it has another rate",
      (model, { link }) => change(model, link, { bucket: { rate: 1000, limit: 125_000 } }),
      [limiting[3]!],
    ],
    ["the shaper has lost its bucket", (model, { shaper }) => void model.queues.delete(shaper), [limiting[1]!]],
    [
      "nothing goes by the shaper",
      (model, { link }) => change(model, link, { redirectedTo: undefined }),
      [limiting[2]!],
    ],
    ["it goes by another", (model, { link }) => change(model, link, { redirectedTo: 1 }), [limiting[2]!]],
    ["the shaper is down", (model) => void (model.host.link(shaper).isUp = false), [limiting[0]!]],
    ["the shaper says not whose it is", (model) => void (model.host.link(shaper).alias = undefined), [limiting[0]!]],
    ["the shaper is gone", (model) => model.host.delete(model.host.link(shaper)), limiting.slice(0, 3)],
    [
      "another link has its name",
      (model) => {
        model.host.delete(model.host.link(shaper));
        model.host.add({ name: shaper, kind: "dummy" });
      },
      [`a-net1: delete-link ${shaper}`, ...limiting.slice(0, 3)],
    ],
    [
      "it waits to be deleted",
      (model) => void (model.host.link(shaper).group = retiredGroup),
      [`a-net1: delete-link ${shaper}`, ...limiting.slice(0, 3)],
    ],
  ];
  for (const [what, harm, steps] of cases) {
    for (const how of ["repaired", "looked at by itself"]) {
      const model = made(both);
      harm(model, { link: model.host.link("v-a-1").index, shaper: model.host.link(shaper).index });
      const planned = () =>
        planBandwidths({ endpoints: [place], handovers: [] }, model.seen([]).host).flatMap(({ object, steps }) =>
          steps.map((step) => `${object.id}: ${inWords(step)}`),
        );
      t.same(how === "repaired" ? bringAbout(both, model) : planned(), steps, `${what}: ${how}`);
      if (how === "repaired") t.same(bringAbout(both, model), [], `${what}: mended`);
    }
  }
  t.end();
});

function change(model: Model, index: number, changes: object): void {
  model.queues.set(index, { ...model.queues.get(index)!, ...changes });
}

t.test("the shaper goes with the endpoint, after the link it serves", (t) => {
  const without = { ...both, endpoints: new Map() };
  t.same(bringAbout(without, made(both), { ...nothing, endpoints: [[place, box]] }), [
    "a-net1: retire",
    "a-net1: retire",
  ]);
  const unlinked = made(both);
  unlinked.deleteLink(unlinked.host.link("v-a-1")); // as the kernel does with a namespace
  t.same(bringAbout(without, unlinked, { ...nothing, endpoints: [[place, box]] }), ["a-net1: retire"]);
  t.notOk(unlinked.host.links.has(shaper));
  const foreign = made(both);
  foreign.host.link(shaper).alias = "mine";
  bringAbout(without, foreign, { ...nothing, endpoints: [[place, box]] });
  t.ok(foreign.host.links.has(shaper), "what says that it is somebody else's stays");

  const engine = wantedOf([on], [], [], [handed]);
  const gone = { ...nothing, handovers: [[handed, undefined] as const] };
  t.same(bringAbout({ ...engine, handovers: new Map() }, made(engine), gone), ["h: retire", "h: retire"]);
  t.end();
});

t.test("what a lost store has left is removed, and nothing leads to it any more", (t) => {
  const model = made(both);
  const forgotten = wantedOf([on], [box], [endpoint(box, on)]);
  const left = (wanted: Wanted, ofEngines: boolean) =>
    leftovers(model.seen([]).host, wanted, ofEngines).flatMap(({ steps }) => steps.map(inWords));
  t.same(left(both, false), []);
  t.same(left(forgotten, false), ["end-redirect", `delete-link ${shaper}`]);
  t.same(left(wantedOf([on], [], []), false), ["delete-link v-a-1", `delete-link ${shaper}`]);
  bringAbout(forgotten, model);
  t.equal(model.queues.get(model.host.link("v-a-1").index)?.redirectedTo, undefined);

  bringAbout(wantedOf([on], [], [], [handed]), model);
  t.same(left(wantedOf([on], [box], [endpoint(box, on)]), false), [], "what is an engine's waits for the engine");
  const unlimited = wantedOf([on], [], [], [handover("h", on)]);
  t.same(left(unlimited, true), ["end-redirect", "delete-link ptsh"]);
  t.end();
});

t.test("links of a pair and on a LAN have no end on the host", (t) => {
  const planned = planBandwidths({ endpoints: [place], handovers: [handed] }, new Model().seen([]).host);
  t.same(planned, [], "nothing is limited that is not there");
  t.end();
});

t.test("bursts and queues are large enough for a packet, and for the kernel's timers", (t) => {
  const least = 65 * 1024;
  t.same(bucketOf({ rate: 8000 }), { rate: 1000, burst: least, limit: least });
  t.same(bucketOf({ rate: 20e6 }), { rate: 2_500_000, burst: least, limit: 125_000 });
  t.same(bucketOf({ rate: 1e9 }), { rate: 125e6, burst: 1.25e6, limit: 6.25e6 });
  t.same(bucketOf({ rate: 8e6, burst: 100 }).burst, least, "one that is too small for a packet is none");
  t.same(bucketOf({ rate: 10e9, burst: 100_000 }).burst, 12.5e6, "nor one that is too small for a rate");
  t.match(bucketOf({ rate: 8e6, burst: 1e6 }), { burst: 1e6, limit: 512 * 1024 });
  t.same(bucketOf({ rate: 2 ** 40 }), { rate: 2 ** 37, burst: Math.ceil(2 ** 37 * 0.01), limit: 2 ** 32 - 1 });
  t.end();
});
