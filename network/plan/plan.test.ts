import fc from "fast-check";
import t from "tap";
import type { RoutingRule } from "../../linux/netlink/rtnetlink/rules.js";
import { retiredGroup, type Wanted } from "../wanted.js";
import { planGround, type Scope } from "./plan.js";
import { leftovers } from "./leftovers.js";
import { bringAbout, inWords, nothing } from "./testing/bring-about.js";
import { Model, type ModelLink, type ModelSpace } from "./testing/model.js";
import { endpoint, handover, network, sandbox, wantedOf } from "./testing/wanted.js";

const one = { network: network(1), sandbox: sandbox("a") };
const place = endpoint(one.sandbox, one.network, { group: 7 });
const simple = wantedOf([one.network], [one.sandbox], [place]);

/** Two ways out; the second is the default. */
const [first, second] = [network(1), network(2, { hasIPv6: true })];
const twoWays = wantedOf(
  [first, second],
  [one.sandbox],
  [
    endpoint(one.sandbox, first, { isDefault: { ipv4: false, ipv6: false }, table: 1001 }),
    endpoint(one.sandbox, second, { isDefault: { ipv4: true, ipv6: true }, table: 1002 }),
  ],
);

function made(wanted: Wanted): Model {
  const model = new Model();
  bringAbout(wanted, model);
  return model;
}

t.test("where there is nothing, everything is made", (t) => {
  t.same(bringAbout(simple, new Model()), [
    "net1: make-bridge",
    "net1: set-bridge",
    "net1: add-bridge-address 10.1.0.1/24",
    "a: make-namespace",
    "a-net1: make-veth",
    "a-net1: set-inside +10.1.0.2/24 +via 10.1.0.1",
    "a-net1: attach",
  ]);
  t.same(bringAbout(twoWays, new Model()).slice(-6), [
    "a-net1: make-veth",
    "a-net1: set-inside +10.1.0.2/24 +via 10.1.0.1 in 1001 +from all to 254 +from 10.1.0.2 to 1001",
    "a-net1: attach",
    "a-net2: make-veth",
    "a-net2: set-inside +10.2.0.2/24 +fd00:2::2/64 +via 10.2.0.1 +via 10.2.0.1 in 1002 +via fd00:2::1 +via fd00:2::1 in 1002 " +
      "+from all to 254 +from 10.2.0.2 to 1002 +from all to 254 +from fd00:2::2 to 1002",
    "a-net2: attach",
  ]);
  t.end();
});

t.test("where all is as it is wanted, nothing is done", (t) => {
  for (const wanted of [simple, twoWays]) t.same(bringAbout(wanted, made(wanted)), []);
  t.end();
});

interface Parts {
  readonly model: Model;
  readonly bridge: ModelLink;
  readonly link: ModelLink;
  readonly end: ModelLink;
  readonly inside: ModelSpace;
}

const setInside = "a-net1: set-inside";
const attach = "a-net1: attach";
const foreign: RoutingRule = { family: "ipv4", source: undefined, table: 300, priority: 500, skipsDefault: false };

t.test("a single thing that is amiss takes exactly the steps that mend it", (t) => {
  const bridgeAmiss = ["net1: set-bridge"];
  const cases: [what: string, harm: (parts: Parts) => void, steps: string[]][] = [
    ["the bridge is down", ({ bridge }) => (bridge.isUp = false), bridgeAmiss],
    ["the bridge has another MTU", ({ bridge }) => (bridge.mtu = 1400), bridgeAmiss],
    ["the bridge has another MAC", ({ bridge }) => (bridge.mac = "02:00:00:00:00:09"), bridgeAmiss],
    ["the bridge says not whose it is", ({ bridge }) => (bridge.alias = undefined), bridgeAmiss],
    [
      "the bridge has lost its address",
      ({ model, bridge }) => model.host.addresses.set(bridge.index, []),
      ["net1: add-bridge-address 10.1.0.1/24"],
    ],
    [
      "the bridge's address has another prefix",
      ({ model, bridge }) => model.host.addresses.set(bridge.index, [{ ip: "10.1.0.1", prefix: 16 }]),
      ["net1: add-bridge-address 10.1.0.1/24"],
    ],
    [
      "the bridge has an address more, which is somebody's",
      ({ model, bridge }) => model.host.addresses.get(bridge.index)!.push({ ip: "10.9.0.1", prefix: 24 }),
      [],
    ],
    [
      "the bridge is gone",
      ({ model, bridge, link }) => {
        model.host.delete(bridge);
        link.master = undefined;
      },
      ["net1: make-bridge", "net1: set-bridge", "net1: add-bridge-address 10.1.0.1/24", attach],
    ],
    ["the host's end is down", ({ link }) => (link.isUp = false), [attach]],
    ["the host's end has another MTU", ({ link }) => (link.mtu = 1400), [attach]],
    ["the host's end says not whose it is", ({ link }) => (link.alias = undefined), [attach]],
    ["the host's end has no bridge", ({ link }) => (link.master = undefined), [attach]],
    [
      "the host's end has another bridge",
      ({ model, link }) => (link.master = model.host.add({ name: "other", kind: "bridge" }).index),
      [attach],
    ],
    ["the host's end is in another group", ({ link }) => (link.group = 0), [attach]],
    [
      "the link is gone",
      ({ model, link }) => model.deleteLink(link),
      ["a-net1: make-veth", `${setInside} +10.1.0.2/24 +via 10.1.0.1`, attach],
    ],
    [
      "the other end is in another namespace",
      ({ model, inside, end }) => {
        inside.delete(end);
        model.makeSpace("/run/netns/b").add({ ...end, name: "eth1" });
      },
      ["a-net1: delete-link v-a-1", "a-net1: make-veth", `${setInside} +10.1.0.2/24 +via 10.1.0.1`, attach],
    ],
    [
      "the other end is in another namespace, and something else has its index here",
      ({ inside, end }) => {
        inside.delete(end);
        inside.add({ name: "dummy0", kind: "dummy", index: end.index });
      },
      ["a-net1: delete-link v-a-1", "a-net1: make-veth", `${setInside} +10.1.0.2/24 +via 10.1.0.1`, attach],
    ],
    ["the sandbox's end is down", ({ inside, end }) => inside.down(end), [`${setInside} +via 10.1.0.1`]],
    ["the sandbox's end has another MTU", ({ end }) => (end.mtu = 1400), [setInside]],
    ["the sandbox's end has another MAC", ({ end }) => (end.mac = "02:00:00:00:00:09"), [setInside]],
    [
      "the sandbox's end has another name",
      ({ inside, end }) => inside.rename(end, "lan0"),
      [`${setInside} +10.1.0.2/24 +via 10.1.0.1`],
    ],
    [
      "the sandbox's end has lost its address",
      ({ inside, end }) => inside.addresses.set(end.index, []),
      [`${setInside} +10.1.0.2/24`],
    ],
    [
      "the sandbox's end has an address more",
      ({ inside, end }) => inside.addresses.get(end.index)!.push({ ip: "10.1.0.77", prefix: 24 }),
      [`${setInside} -10.1.0.77/24`],
    ],
    [
      "the address has another prefix",
      ({ inside, end }) => inside.addresses.set(end.index, [{ ip: "10.1.0.2", prefix: 32 }]),
      [`${setInside} -10.1.0.2/32 +10.1.0.2/24`],
    ],
    ["the default route is gone", ({ inside }) => (inside.routes = []), [`${setInside} +via 10.1.0.1`]],
    [
      "the default route goes by another gateway",
      ({ inside, end }) =>
        (inside.routes = [
          { destination: { ip: "0.0.0.0", prefix: 0 }, gateway: "10.1.0.9", link: end.index, table: 254 },
        ]),
      [`${setInside} -via 10.1.0.9 +via 10.1.0.1`],
    ],
    [
      "there is a route to what is at hand, which the kernel makes",
      ({ inside, end }) =>
        inside.routes.push({
          destination: { ip: "10.1.0.0", prefix: 24 },
          gateway: undefined,
          link: end.index,
          table: 254,
        }),
      [],
    ],
    [
      "there is a route of another link",
      ({ inside }) =>
        inside.routes.push({ destination: { ip: "10.8.0.0", prefix: 24 }, gateway: "10.7.0.1", link: 99, table: 254 }),
      [],
    ],
    [
      "there is a rule left of when there were two ways out",
      ({ inside }) =>
        inside.rules.push({ family: "ipv4", source: "10.1.0.2", table: 1001, priority: 10_000, skipsDefault: false }),
      [`${setInside} -from 10.1.0.2 to 1001`],
    ],
    [
      "there is a rule left of an endpoint that is gone",
      ({ inside }) =>
        inside.rules.push({ family: "ipv4", source: "10.2.0.2", table: 1002, priority: 10_000, skipsDefault: false }),
      ["a: remove-rules"],
    ],
    [
      "there is a rule of somebody else, for an address",
      ({ inside }) =>
        inside.rules.push({ family: "ipv4", source: "10.2.0.2", table: 100, priority: 10_000, skipsDefault: false }),
      [],
    ],
    ["there is a rule of somebody else", ({ inside }) => inside.rules.push(foreign), []],
    [
      "the namespace is gone",
      ({ model, inside, link }) => {
        model.deleteLink(link);
        t.equal(inside.links.size, 0);
        model.spaces.delete("/run/netns/a");
      },
      ["a: make-namespace", "a-net1: make-veth", `${setInside} +10.1.0.2/24 +via 10.1.0.1`, attach],
    ],
    [
      "a link says it is ours, and nobody wants it",
      ({ model }) => model.host.add({ name: "stray", kind: "veth", alias: "pontoon endpoint old" }),
      ["old: delete-link stray"],
    ],
    [
      "a bridge says it is ours, and nobody wants it",
      ({ model }) => model.host.add({ name: "stray", kind: "bridge", alias: "pontoon network old" }),
      ["old: delete-link stray"],
    ],
    [
      "a link says something else",
      ({ model }) => model.host.add({ name: "mine", kind: "veth", alias: "pontoon network of mine" }),
      [],
    ],
  ];
  for (const [what, harm, steps] of cases) {
    const model = made(simple);
    const inside = model.space(one.sandbox.path);
    harm({ model, inside, bridge: model.host.link("br1"), link: model.host.link("v-a-1"), end: inside.link("eth1") });
    t.same(bringAbout(simple, model), steps, what);
    t.same(bringAbout(simple, model), [], `${what}: then all is well`);
  }
  t.end();
});

t.test("of several ways out each keeps its table and its rules", (t) => {
  const cases: [what: string, harm: (inside: ModelSpace) => void, steps: string[]][] = [
    [
      "a table's route is gone",
      (inside) => (inside.routes = inside.routes.filter(({ table }) => table !== 1001)),
      [`${setInside} +via 10.1.0.1 in 1001`],
    ],
    [
      "a rule is gone",
      (inside) => (inside.rules = inside.rules.filter(({ source }) => source !== "10.1.0.2")),
      [`${setInside} +from 10.1.0.2 to 1001`],
    ],
    [
      "a rule leads to another table",
      (inside) => (inside.rules = inside.rules.map((rule) => (rule.table === 1001 ? { ...rule, table: 1002 } : rule))),
      [`${setInside} -from 10.1.0.2 to 1002 +from 10.1.0.2 to 1001`],
    ],
    [
      "the default route goes by the network that is not the way out",
      (inside) => {
        inside.routes = inside.routes.filter(({ gateway, table }) => table !== 254 || gateway !== "10.2.0.1");
        const link = inside.link("eth1").index;
        inside.routes.push({ destination: { ip: "0.0.0.0", prefix: 0 }, gateway: "10.1.0.1", link, table: 254 });
      },
      [`${setInside} -via 10.1.0.1`, "a-net2: set-inside +via 10.2.0.1"],
    ],
  ];
  for (const [what, harm, steps] of cases) {
    const model = made(twoWays);
    harm(model.space(one.sandbox.path));
    t.same(bringAbout(twoWays, model), steps, what);
    t.same(bringAbout(twoWays, model), [], `${what}: then all is well`);
  }
  t.end();
});

t.test("a sandbox that loses one of two ways out needs no table any more", (t) => {
  const model = made(twoWays);
  const stays = endpoint(one.sandbox, first);
  const gone = twoWays.endpoints.get("a-net2")!;
  const left = wantedOf([first, second], [one.sandbox], [stays]);
  t.same(bringAbout(left, model, { ...nothing, endpoints: [[gone, one.sandbox]] }), [
    "a-net2: retire",
    `${setInside} -via 10.1.0.1 in 1001 -from 10.1.0.2 to 1001 +via 10.1.0.1`,
  ]);
  t.same(
    model.space(one.sandbox.path).rules.filter(({ source }) => source !== undefined),
    [],
  );
  t.same(bringAbout(left, model), []);
  t.end();
});

t.test("what is removed leaves nothing, and can be removed again", (t) => {
  const model = made(twoWays);
  const removed: Scope["removed"] = {
    networks: [first, second],
    sandboxes: [one.sandbox],
    handovers: [],
    endpoints: [...twoWays.endpoints.values()].map((place) => [place, one.sandbox] as const),
  };
  const none = wantedOf([], [], []);
  bringAbout(none, model, removed);
  t.same([[...model.host.links.keys()], [...model.spaces.keys()]], [["uplink"], []]);
  t.same(
    bringAbout(none, model, removed),
    ["a: remove-namespace /run/netns/a"],
    "a name is taken away even where no namespace is",
  );
  t.end();
});

t.test("what is somebody else's stays", (t) => {
  const adopted = network(3, { isAdopted: true, bridge: "theirs" });
  const inPlace = sandbox("c", { target: "/run/netns/c" });
  const linked = sandbox("d", { target: "/proc/7/ns/net" });
  const all = wantedOf([adopted], [inPlace, linked], []);
  const model = new Model();
  t.same(
    bringAbout(wantedOf([adopted], [inPlace], []), model),
    [],
    "a bridge and a namespace that are not there are not made",
  );
  model.host.add({ name: "theirs", kind: "bridge" });
  const theirs = model.makeSpace("/run/netns/c");
  model.spaces.set("/proc/7/ns/net", theirs);
  t.same(bringAbout(all, model), ["d: link-namespace", "d: raise-loopback"]);
  const removed = { ...nothing, networks: [adopted], sandboxes: [inPlace, linked] };
  t.same(bringAbout(wantedOf([], [], []), model, removed), ["d: remove-namespace /run/netns/d"]);
  t.ok(model.host.links.has("theirs"));
  const replaced = sandbox("c", { inode: 4 });
  t.same(
    bringAbout(wantedOf([], [], []), model, { ...nothing, sandboxes: [replaced] }),
    [],
    "a namespace in the place of ours",
  );
  t.same(bringAbout(wantedOf([], [replaced], []), model), []);
  t.end();
});

t.test("a bridge with our name is removed only if it is ours, or was cut off on its way", (t) => {
  const cases: [alias: string | undefined, kind: string, steps: string[]][] = [
    ["pontoon network net1", "bridge", ["net1: delete-link br1"]],
    [undefined, "bridge", ["net1: delete-link br1"]],
    ["pontoon network net2", "bridge", []],
    ["somebody's", "bridge", []],
    [undefined, "dummy", []],
  ];
  for (const [alias, kind, steps] of cases) {
    const model = new Model();
    model.host.add({ name: "br1", kind, alias });
    const removed = { ...nothing, networks: [first] };
    const scope: Scope = { ...nothing, endpoints: [], handovers: [], removed };
    const planned = planGround(scope, wantedOf([], [], []), model.seen([])).flatMap(({ object, steps }) =>
      steps.map((step) => `${object.id}: ${inWords(step)}`),
    );
    t.same(planned, steps, `${kind} ${alias}`);
  }
  t.end();
});

t.test("an endpoint waits for its sandbox, and one of no network is passed over", (t) => {
  const model = new Model();
  const waiting = wantedOf([first], [sandbox("a", { target: "/run/netns/a" })], [endpoint(one.sandbox, first)]);
  t.same(bringAbout(waiting, model), ["net1: make-bridge", "net1: set-bridge", "net1: add-bridge-address 10.1.0.1/24"]);
  t.same(bringAbout(waiting, model), []);
  t.same(bringAbout(wantedOf([], [one.sandbox], [place]), made(wantedOf([], [one.sandbox], []))), []);
  t.end();
});

t.test("a pair for an engine to take is made once, mended on the host alone, and retired", (t) => {
  const place = handover("h", first, { group: 7 });
  const wanted = wantedOf([first], [], [], [place]);
  const model = made(wantedOf([first], [], []));
  t.same(bringAbout(wanted, model), ["h: make-handover", "h: attach"]);
  t.same(bringAbout(wanted, model), []);
  const link = model.host.link(place.hostLink);
  for (const harm of [
    () => (link.isUp = false),
    () => (link.mtu = 1400),
    () => (link.group = 0),
    () => (link.master = undefined),
    () => (link.alias = undefined),
  ]) {
    harm();
    t.same(bringAbout(wanted, model), ["h: attach"], harm.toString());
    t.same(bringAbout(wanted, model), []);
  }
  const none = wantedOf([first], [], []);
  const removed: Scope["removed"] = { ...nothing, handovers: [[place, undefined]] };
  t.same(bringAbout(none, model, removed), ["h: retire"]);
  t.same(bringAbout(none, model, removed), [], "it can be removed again");
  t.same(bringAbout(wanted, model), ["h: make-handover", "h: attach"], "and made again");
  t.same(bringAbout(wantedOf([], [], [], [handover("x", first)]), new Model()), [], "one of no network is passed over");
  t.end();
});

t.test("a pair that is about to be deleted is not taken for the one that is wanted", (t) => {
  const place = handover("h", first);
  const wanted = wantedOf([first], [], [], [place]);
  const model = made(wanted);
  Object.assign(model.host.link(place.hostLink), { group: retiredGroup });
  t.same(bringAbout(wanted, model), [`h: delete-link ${place.hostLink}`, "h: make-handover", "h: attach"]);
  t.end();
});

t.test("what was made for an engine stays until the engine has told of all it has", (t) => {
  const place = handover("h", network(1, { isEngines: true }));
  const engines = network(1, { isEngines: true });
  const model = made(wantedOf([engines], [], [], [place]));
  const none = wantedOf([], [], []);
  const inAll = (ofEngines: boolean) =>
    leftovers(model.seen([]).host, none, ofEngines).map(({ object }) => `${object.kind} ${object.id}`);
  t.same(inAll(false), []);
  t.same(inAll(true).sort(), ["endpoint h", "network net1"]);
  t.same(leftovers(model.seen([]).host, wantedOf([engines], [], [], [place]), true), []);
  t.end();
});

t.test("a bridge of somebody else's is lent what it lacks, and is left as it was", (t) => {
  const [own, lent] = [
    { ip: "10.3.0.1", prefix: 24 },
    { ip: "fd00:3::1", prefix: 64 },
  ];
  const adopted = network(3, { isAdopted: true, bridge: "theirs", hasIPv6: true, isEngines: true, lent: [lent] });
  const wanted = wantedOf([adopted], [], []);
  const model = new Model();
  const bridge = model.host.add({ name: "theirs", kind: "bridge" });
  model.host.addresses.set(bridge.index, [own]);
  t.same(bringAbout(wanted, model), ["net3: raise-bridge", "net3: add-bridge-address fd00:3::1/64"]);
  t.same(bringAbout(wanted, model), []);
  const removed = { ...nothing, networks: [adopted] };
  t.same(bringAbout(wantedOf([], [], []), model, removed), ["net3: delete-bridge-address fd00:3::1/64"]);
  t.same(model.host.addresses.get(bridge.index), [own]);
  t.same(bringAbout(wantedOf([], [], []), model, removed), []);
  t.ok(model.host.links.has("theirs"));
  t.end();
});

t.test("whatever was there and is wanted next, carrying steps out leaves nothing to do", (t) => {
  const networks = [
    network(1),
    network(2, { hasIPv6: true }),
    network(3, { mtu: 1400, overlay: { link: "pvx-3", vni: 3, local: "192.0.2.1", port: 4789 } }),
  ];
  const sandboxes = ["a", "b"].map((id) => sandbox(id));
  /** Which places there are, which of them lead out, and which is the default. */
  const situation = fc.record({
    places: fc.array(fc.tuple(fc.nat(1), fc.nat(2), fc.boolean(), fc.nat(1)), { maxLength: 6 }),
    first: fc.nat(2),
  });
  const wantedIn = ({ places, first }: { places: [number, number, boolean, number][]; first: number }): Wanted => {
    const endpoints = new Map(
      places.map(([of, on, leadsOut, group]) => {
        const isDefault = on === first && leadsOut;
        const is = endpoint(sandboxes[of]!, networks[on]!, {
          group,
          ...(leadsOut ? {} : { gateways: [] }),
          isDefault: { ipv4: isDefault, ipv6: isDefault },
          table: leadsOut ? 1000 + on : undefined,
        });
        return [is.id, is];
      }),
    );
    return wantedOf(networks, sandboxes, [...endpoints.values()]);
  };
  fc.assert(
    fc.property(fc.array(situation, { minLength: 1, maxLength: 4 }), (situations) => {
      const model = new Model();
      let before = wantedOf([], [], []);
      for (const each of situations) {
        const wanted = wantedIn(each);
        const gone = [...before.endpoints.values()].filter(({ id }) => !wanted.endpoints.has(id));
        const removed = gone.map((place) => [place, before.sandboxes.get(place.sandbox)!] as const);
        bringAbout(wanted, model, { ...nothing, endpoints: removed });
        if (bringAbout(wanted, model).length > 0) return false;
        const links = [...model.host.links.keys()].filter((name) => name.startsWith("v-"));
        if (links.length !== wanted.endpoints.size) return false;
        before = wanted;
      }
      return true;
    }),
  );
  t.end();
});
