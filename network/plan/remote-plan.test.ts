import t from "tap";
import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import { aliasOf, type WantedEndpoint, type WantedSandbox } from "../wanted.js";
import { planEndpoint, planEndpointRemoval } from "./endpoint-plan.js";
import { whyKept } from "./remote-plan.js";
import { bringAbout, nothing as nothingGone } from "./testing/bring-about.js";
import { Model } from "./testing/model.js";
import { wantedOf } from "./testing/wanted.js";

const endpoint: WantedEndpoint = {
  id: "e1",
  network: "n1",
  sandbox: "s1",
  hostLink: "tap7",
  ifname: "eth0",
  mac: undefined,
  mtu: 0,
  group: 0,
  addresses: [{ ip: "10.7.0.2", prefix: 24 }],
  gateways: ["10.7.0.1"],
  isDefault: { ipv4: true, ipv6: false },
  table: undefined,
  remote: { routes: [{ to: { ip: "10.9.0.0", prefix: 16 } }, { to: { ip: "10.8.0.0", prefix: 16 }, via: "10.9.0.1" }] },
};
const sandbox = {
  id: "s1",
  name: "web",
  path: "/run/netns/web",
  target: undefined,
  inode: undefined,
  isReplaceable: true,
} satisfies WantedSandbox;
const network = {
  id: "n1",
  name: "net",
  bridge: "pt-n1",
  isRemote: true,
  isAdopted: false,
  addresses: [],
  mac: undefined,
  mtu: 0,
  hasIPv6: false,
  firewall: undefined,
};
const link = (index: number, name: string, more: Partial<Link> = {}): Link => ({
  index,
  name,
  kind: "veth",
  isUp: true,
  mtu: 1400,
  mac: "02:42:0a:07:00:02",
  master: undefined,
  peer: undefined,
  alias: undefined,
  group: 0,
  bridge: undefined,
  ...more,
});
const nothing = { links: [], addresses: new Map(), routes: [], rules: [] };
const there = { kind: "there", inode: 5, ...nothing } as const;
const host = {
  links: new Map([["tap7", link(7, "tap7")]]),
  addresses: new Map(),
  routes: [],
  queues: new Map(),
  proxies: [],
  answering: new Set<string>(),
};

t.test("a link is taken once, and set as it is to be", (t) => {
  const steps = planEndpoint(endpoint, network, sandbox, host, there);
  t.match(steps, {
    length: 2,
    0: { kind: "take-link" },
    1: { kind: "set-inside", alias: "pontoon link e1", end: undefined },
  });
  const set = steps.find((step) => step.kind === "set-inside");
  t.same(
    set?.add.routes.map(({ destination, gateway = "" }) => `${destination.ip} ${gateway}`),
    ["10.9.0.0 ", "10.8.0.0 10.9.0.1", "0.0.0.0 10.7.0.1"],
    "what others lead by comes first",
  );
  const inside = {
    ...there,
    links: [link(12, "eth0", { alias: aliasOf.inside(endpoint) })],
    addresses: new Map([[12, endpoint.addresses]]),
    routes: [
      { destination: { ip: "0.0.0.0", prefix: 0 }, gateway: "10.7.0.1", link: 12, table: 254 },
      { destination: { ip: "10.9.0.0", prefix: 16 }, gateway: undefined, link: 12, table: 254 },
      { destination: { ip: "10.7.0.0", prefix: 24 }, gateway: undefined, link: 12, table: 254 },
      { destination: { ip: "10.8.0.0", prefix: 16 }, gateway: "10.9.0.1", link: 12, table: 254 },
    ],
  };
  t.same(planEndpoint(endpoint, network, sandbox, host, inside), [], "its MTU is the driver's");
  t.match(
    planEndpoint(endpoint, network, sandbox, host, {
      ...inside,
      routes: [],
    }),
    {
      length: 1,
      0: { kind: "set-inside", end: 12 },
    },
  );
  t.match(planEndpointRemoval(endpoint, network, sandbox, host, inside), {
    length: 1,
    0: { kind: "give-back", name: "tap7", inside: { path: "/run/netns/web", inode: 5, index: 12 } },
  });
  t.same(
    planEndpointRemoval(endpoint, network, sandbox, host, there),
    [],
    "what the host has of that name is not ours to remove",
  );
  t.same(planEndpointRemoval(endpoint, undefined, sandbox, host, { kind: "gone" }), []);
  t.end();
});

t.test("links of the host that it needs stay", (t) => {
  const links = [
    link(1, "lo", { kind: undefined }),
    link(2, "eth0", { kind: undefined }),
    link(3, "br0", { kind: "bridge" }),
    link(4, "port0", { master: 3 }),
    link(5, "eth1", { kind: undefined }),
    link(6, "vlan5", { kind: "vlan", peer: 5 }),
    link(7, "tap7", { peer: 8 }),
    link(8, "tap8", { peer: 7 }),
    link(9, "ours", { alias: "pontoon endpoint x" }),
    link(10, "bond0", { kind: "bond" }),
    link(11, "slave", { master: 10, kind: undefined }),
    link(12, "vf0", { kind: undefined }),
  ];
  const routes = [{ destination: { ip: "::", prefix: 0 }, gateway: "fe80::1", link: 2, table: 100 }];
  const why = (name: string) =>
    whyKept(
      links.find((each) => each.name === name)!,
      links,
      routes,
    );
  t.match(why("lo"), /loopback/);
  t.match(why("eth0"), /the host leaves by it/, "by any table");
  t.match(why("br0"), /ports/);
  t.match(why("port0"), /a port of br0/);
  t.match(why("eth1"), /vlan5 is on it/);
  t.match(why("ours"), /pontoon's own/);
  t.match(why("bond0"), /ports/);
  t.match(why("slave"), /a port of bond0/);
  for (const name of ["tap7", "vf0", "vlan5"]) t.equal(why(name), undefined, name);
  t.end();
});

t.test("what is not as it should be is mended; in the end the driver has its link again", (t) => {
  const wanted = wantedOf([network], [sandbox], [endpoint]);
  const set = "set-inside +10.7.0.2/24 +via undefined +via 10.9.0.1 +via 10.7.0.1";
  const made = () => {
    const model = new Model();
    model.host.add({ name: "tap7", kind: "veth", mtu: 1400 });
    t.same(bringAbout(wanted, model), ["s1: make-namespace", "e1: take-link", `e1: ${set}`]);
    t.same(bringAbout(wanted, model), []);
    return model;
  };
  const end = (model: Model) => model.space(sandbox.path).link("eth0");
  const cases: [what: string, harm: (model: Model) => void, steps: string[]][] = [
    ["it is down", (model) => (end(model).isUp = false), ["e1: set-inside"]],
    ["it has another name", (model) => model.space(sandbox.path).rename(end(model), "ptr7"), [`e1: ${set}`]],
    [
      "routes are gone",
      (model) => (model.space(sandbox.path).routes = []),
      [`e1: ${set.replace(" +10.7.0.2/24", "")}`],
    ],
    [
      "a crash came while it was given back",
      (model) => {
        model.space(sandbox.path).delete(end(model));
        model.host.add({ name: "ptr7", kind: "veth", alias: "pontoon link e1" });
        model.host.add({ name: "tap7", kind: "veth" });
      },
      ["e1: delete-link ptr7", "e1: take-link", `e1: ${set}`],
    ],
  ];
  for (const [what, harm, steps] of cases) {
    const model = made();
    harm(model);
    t.same(bringAbout(wanted, model), steps, what);
    t.same(bringAbout(wanted, model), [], `${what}: then all is well`);
  }
  const model = made();
  const removed = { ...nothingGone, endpoints: [[endpoint, sandbox] as const] };
  t.same(bringAbout(wantedOf([network], [sandbox], []), model, removed), ["e1: give-back"]);
  t.same([...model.host.links.keys()], ["uplink", "tap7"]);
  t.equal(model.host.link("tap7").mtu, 1400, "as it was");
  t.end();
});
