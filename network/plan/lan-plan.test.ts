import t from "tap";
import { planHandover, planHandoverRemoval } from "./handover-plan.js";
import { leftovers } from "./leftovers.js";
import { bringAbout, nothing } from "./testing/bring-about.js";
import { Model } from "./testing/model.js";
import { endpoint, handover, network, sandbox, wantedOf } from "./testing/wanted.js";

const lan = { child: { kind: "macvlan", mode: "bridge" }, parent: "uplink", vlan: undefined } as const;
const access = { ip: "10.1.0.9", prefix: 32 };
/** One that the host is on, and one that it is not. */
const [near, far] = [
  network(1, { bridge: "pt-1", addresses: [access], lan: { ...lan, hasHostAccess: true } }),
  network(2, { bridge: "pt-2", addresses: [], lan: { ...lan, hasHostAccess: false } }),
];
const box = sandbox("a");
const place = endpoint(box, near, { gateways: ["10.1.0.1"] });
const wanted = wantedOf([near], [box], [place]);
const setInside = "a-net1: set-inside +10.1.0.2/24 +via 10.1.0.1";

function made(all = wanted): Model {
  const model = new Model();
  bringAbout(all, model);
  return model;
}

t.test("the host gets a link on the parent, a sandbox one of its own, and a route leads there", (t) => {
  const model = new Model();
  t.same(bringAbout(wanted, model), [
    "net1: make-access",
    "net1: set-bridge",
    "net1: add-bridge-address 10.1.0.9/32",
    "a: make-namespace",
    "a-net1: make-child",
    setInside,
    "a-net1: add-host-route 10.1.0.2",
  ]);
  t.same(bringAbout(wanted, model), []);
  t.end();
});

t.test("an address that is lent comes later, with its routes; another one and other routes take its place", (t) => {
  const model = new Model();
  const none = { addresses: [], gateways: [], routes: [] };
  const router = { destination: { ip: "10.9.9.9", prefix: 32 }, gateway: undefined };
  const beyond = { destination: { ip: "10.98.0.0", prefix: 16 }, gateway: "10.2.0.7" };
  const at = (changes: object) => wantedOf([far], [box], [endpoint(box, far, { ...none, ...changes })]);
  t.same(bringAbout(at({}), model), ["a: make-namespace", "a-net2: make-child", "a-net2: set-inside"]);
  const lent = at({ addresses: [{ ip: "10.2.0.5", prefix: 32 }], gateways: ["10.9.9.9"], routes: [router, beyond] });
  t.same(bringAbout(lent, model), ["a-net2: set-inside +10.2.0.5/32 +via undefined +via 10.2.0.7 +via 10.9.9.9"]);
  t.same(bringAbout(lent, model), []);
  const other = at({ addresses: [{ ip: "10.2.0.6", prefix: 24 }], gateways: ["10.2.0.1"] });
  t.same(bringAbout(other, model), [
    "a-net2: set-inside -10.2.0.5/32 -via undefined -via 10.2.0.7 -via 10.9.9.9 +10.2.0.6/24 +via 10.2.0.1",
  ]);
  const space = model.space(box.path);
  const link = space.link("eth2").index;
  space.routes.push({ destination: { ip: "10.2.0.0", prefix: 24 }, gateway: undefined, link, table: 254 });
  t.same(bringAbout(other, model), [], "what the kernel makes for an address stays");
  space.routes.push({ destination: { ip: "10.3.0.0", prefix: 24 }, gateway: undefined, link, table: 254 });
  t.same(bringAbout(other, model), ["a-net2: set-inside -via undefined"], "what else leads over the link does not");
  t.end();
});

t.test("without access the host has nothing there", (t) => {
  const all = wantedOf([far], [box], [endpoint(box, far, { gateways: [] })]);
  const model = new Model();
  t.same(bringAbout(all, model), ["a: make-namespace", "a-net2: make-child", "a-net2: set-inside +10.2.0.2/24"]);
  t.same([...model.host.links.keys()], ["uplink"]);
  t.same(bringAbout(all, model), []);
  t.end();
});

t.test("what is not as it should be is mended, and nothing else", (t) => {
  const end = (model: Model) => model.space(box.path).link("eth1");
  const cases: [what: string, harm: (model: Model) => void, steps: string[]][] = [
    [
      "the sandbox's link is gone",
      (model) => model.space(box.path).delete(end(model)),
      ["a-net1: make-child", setInside],
    ],
    ["it does not say whose it is yet", (model) => (end(model).alias = undefined), ["a-net1: set-inside"]],
    ["it is down", (model) => (end(model).isUp = false), ["a-net1: set-inside"]],
    ["no route leads to it", (model) => (model.host.routes = []), ["a-net1: add-host-route 10.1.0.2"]],
    [
      "a route leads to nobody",
      ({ host }) => host.routes.push({ ...host.routes[0]!, destination: { ip: "10.1.0.3", prefix: 32 } }),
      ["net1: delete-host-route 10.1.0.3"],
    ],
    [
      "routes of others",
      ({ host }) =>
        host.routes.push(
          { ...host.routes[0]!, destination: { ip: "10.1.0.0", prefix: 24 } },
          { ...host.routes[0]!, destination: { ip: "10.1.0.4", prefix: 32 }, table: 7 },
          { ...host.routes[0]!, destination: { ip: "10.1.0.5", prefix: 32 }, link: 1 },
        ),
      [],
    ],
    [
      "the host's link is gone, and its routes with it",
      ({ host }) => {
        host.delete(host.link("pt-1"));
      },
      [
        "net1: make-access",
        "net1: set-bridge",
        "net1: add-bridge-address 10.1.0.9/32",
        "a-net1: add-host-route 10.1.0.2",
      ],
    ],
  ];
  for (const [what, harm, steps] of cases) {
    const model = made();
    harm(model);
    t.same(bringAbout(wanted, model), steps, what);
    t.same(bringAbout(wanted, model), [], `${what}: then all is well`);
  }
  t.end();
});

t.test("a link that tells nothing is taken for ours in namespaces of our own alone", (t) => {
  const adopted = sandbox("b", { target: "/run/netns/b" });
  const all = wantedOf([far], [adopted], [endpoint(adopted, far, { ifname: "eth0" })]);
  const model = new Model();
  model.makeSpace("/run/netns/b").add({ name: "eth0", kind: "macvlan" });
  t.throws(() => bringAbout(all, model), /EEXIST/);
  t.end();
});

t.test("what is removed leaves nothing, and can be removed again", (t) => {
  const model = made();
  const removed = { ...nothing, endpoints: [[place, box]] as const };
  t.same(
    bringAbout(wantedOf([near], [box], []), model, removed),
    ["a-net1: delete-host-route 10.1.0.2", "a-net1: delete-inside"].map((each) => each),
  );
  t.same(bringAbout(wantedOf([near], [box], []), model, removed), []);
  const network = { ...nothing, networks: [near] };
  t.same(bringAbout(wantedOf([], [box], []), model, network), ["net1: delete-link pt-1"]);
  t.same(bringAbout(wantedOf([], [box], []), model, network), []);
  t.end();
});

t.test("a VLAN is made of its link, and goes with the last network on it, or when nobody knows of it", (t) => {
  const tagged = (number: number) =>
    network(number, {
      addresses: [],
      lan: { ...lan, parent: "uplink.10", vlan: { of: "uplink", id: 10 }, hasHostAccess: false },
    });
  const [one, other] = [tagged(1), tagged(2)];
  const model = new Model();
  t.same(bringAbout(wantedOf([one], [], []), model), ["net1: make-vlan"]);
  t.same(bringAbout(wantedOf([one, other], [], []), model), []);
  t.same(bringAbout(wantedOf([other], [], []), model, { ...nothing, networks: [one] }), []);
  t.same(bringAbout(wantedOf([], [], []), model, { ...nothing, networks: [other] }), ["net2: delete-link uplink.10"]);
  bringAbout(wantedOf([one], [], []), model);
  t.same(bringAbout(wantedOf([], [], []), model), ["uplink.10: delete-link uplink.10"]);
  const theirs = new Model();
  theirs.host.add({ name: "uplink.10", kind: "vlan", alias: "somebody's" });
  t.same(bringAbout(wantedOf([one], [], []), theirs), []);
  t.same(bringAbout(wantedOf([], [], []), theirs, { ...nothing, networks: [one] }), []);
  t.end();
});

t.test("a daemon inside leaves the link alone by which it is reached", (t) => {
  const model = new Model();
  for (const [name, alias] of [
    ["eth0", "pontoon link e1"],
    ["eth1", "pontoon engine-link e2"],
    ["ptc000000000000", "pontoon engine-link e3"],
  ] as const)
    model.host.add({ name, kind: "macvlan", alias });
  const left = (ofEngines: boolean) =>
    leftovers(model.seen([]).host, wantedOf([], [], []), ofEngines).map(({ object }) => object.id);
  t.same(left(false), []);
  t.same(left(true), ["e3"], "only one that waits to be taken is nobody's");
  const known = wantedOf([near], [], [], [handover("e3", near)]);
  t.same(leftovers(model.seen([]).host, known, true), []);

  // What such a daemon makes in its own host has the names of its endpoints.
  const nested = made();
  nested.space(box.path).add({ name: "ptv1", kind: "veth", alias: "pontoon endpoint inner" });
  nested.space(box.path).add({ name: "old", kind: "macvlan", alias: "pontoon link gone" });
  t.same(bringAbout(wanted, nested), ["a: delete-inside"], "of the two only the one that is ours goes");
  t.end();
});

t.test("a link for an engine to take is made on the host, and left alone where it has been put", (t) => {
  const place = handover("h", near);
  const all = wantedOf([near], [], [], [place]);
  const model = made(wantedOf([near], [], []));
  t.same(bringAbout(all, model), ["h: make-handover-child", "h: add-host-route 10.1.0.2"]);
  t.same(bringAbout(all, model), []);
  const { host } = model.seen([]);
  const link = host.links.get(place.peer)!;
  const elsewhere = { ...host, links: new Map([...host.links].filter(([name]) => name !== place.peer)) };
  t.same(planHandover(place, near, elsewhere, true), []);
  t.match(planHandover(place, near, elsewhere, false), { 0: { kind: "make-handover-child" }, length: 1 });
  const foreign = { ...host, links: new Map([...host.links, [place.peer, { ...link, alias: undefined }]]) };
  const [inTheWay] = planHandover(place, near, foreign, false);
  t.same(inTheWay, { kind: "delete-link", link: place.peer });

  const removed = planHandoverRemoval(place, near, host, undefined);
  t.same(removed, [
    { kind: "delete-host-route", link: "pt-1", ip: "10.1.0.2" },
    { kind: "delete-link", link: place.peer },
  ]);
  const end = { path: place.path, inode: 7, index: 3, rules: [] };
  t.same(planHandoverRemoval(place, undefined, elsewhere, end), [{ kind: "delete-inside", inside: end }]);
  t.same(planHandoverRemoval(place, undefined, elsewhere, undefined), []);
  t.end();
});
