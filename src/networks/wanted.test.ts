import t from "tap";
import { QUIET_GROUP } from "../../network/firewall/wanted.js";
import type { EndpointRecord, NetworkRecord } from "./records.js";
import { endpointRecord, networkRecord, sandboxRecord } from "./testing/records.js";
import { wantedEndpoints, wantedNetwork, wantedSandbox } from "./wanted.js";

const sandbox = sandboxRecord("a");

t.test("a network is a bridge with its gateways' addresses", (t) => {
  t.same(wantedNetwork(networkRecord(1, { ipv6: true, mtu: 1400, snatAddresses: ["2001:db8::9", "192.0.2.9"] })), {
    id: "1".repeat(64),
    name: "network1",
    bridge: "br1",
    isAdopted: false,
    addresses: [
      { ip: "10.1.0.1", prefix: 24 },
      { ip: "fd00:1::1", prefix: 64 },
    ],
    mac: "02:42:0a:01:00:01",
    mtu: 1400,
    hasIPv6: true,
    firewall: {
      subnets: ["10.1.0.0/24", "fd00:1::/64"],
      internal: false,
      icc: true,
      masquerade: true,
      snat: { ipv4: "192.0.2.9", ipv6: "2001:db8::9" },
    },
  });
  t.equal(wantedNetwork(networkRecord(1, { firewall: false })).firewall, undefined);
  t.same([wantedNetwork(networkRecord(1)).hasIPv6, wantedNetwork(networkRecord(1)).firewall?.snat], [false, {}]);
  t.end();
});

t.test("a sandbox's namespace has its name; one of somebody else is known by its inode, once it was seen", (t) => {
  const path = "/run/netns/a";
  const target = "/proc/7/ns/net";
  const is = (changes: object) => wantedSandbox(sandboxRecord("a", changes));
  t.same(is({}), { id: sandbox.id, name: "a", path, target: undefined, inode: undefined, isReplaceable: true });
  t.equal(is({ inode: 5 }).inode, undefined, "one of our own is made anew when it is gone");
  const named = { namespace: { kind: "adopted", target } };
  t.match(is(named), { path, target, inode: undefined, isReplaceable: true });
  t.match(is({ ...named, inode: 5 }), { inode: 5, isReplaceable: true });
  const ofProcess = { namespace: { ...named.namespace, inode: 6 } };
  for (const inode of [0, 5]) t.match(is({ ...ofProcess, inode }), { target, inode: 6, isReplaceable: false });
  t.end();
});

interface Place {
  readonly on: NetworkRecord;
  readonly changes?: Partial<EndpointRecord>;
}

function waysOf(places: readonly Place[]) {
  const networks = new Map(places.map(({ on }) => [on.id, on]));
  const endpoints = places.map(({ on, changes }) => endpointRecord(sandbox, on, changes));
  return wantedEndpoints(endpoints, (id) => networks.get(id));
}

t.test("a sandbox leaves by the highest priority, then by the network that comes first by name", (t) => {
  const [one, two] = [networkRecord(1), networkRecord(2)];
  const internal = networkRecord(3, { internal: true, name: "aaa" });
  const both = networkRecord(4, { ipv6: true });
  const cases: [what: string, places: Place[], ipv4: string | undefined, ipv6?: string][] = [
    ["of one network", [{ on: two }], "eth2"],
    ["by name", [{ on: two }, { on: one }], "eth1"],
    ["by name, in code units", [{ on: one }, { on: { ...two, name: "Zebra" } }], "eth2"],
    ["by priority", [{ on: one }, { on: two, changes: { gatewayPriority: 1 } }], "eth2"],
    ["by a priority that is lower", [{ on: one, changes: { gatewayPriority: -1 } }, { on: two }], "eth2"],
    ["not by one that leads nowhere", [{ on: internal, changes: { gatewayPriority: 9 } }, { on: one }], "eth1"],
    ["only internal ones", [{ on: internal }], undefined],
    ["each family by its own", [{ on: one, changes: { gatewayPriority: 1 } }, { on: both }], "eth1", "eth4"],
    ["both families by one", [{ on: both, changes: { gatewayPriority: 1 } }, { on: one }], "eth4", "eth4"],
  ];
  for (const [what, places, ipv4, ipv6] of cases) {
    const wanted = waysOf(places);
    const links = (family: "ipv4" | "ipv6") =>
      wanted.filter(({ isDefault }) => isDefault[family]).map(({ ifname }) => ifname);
    t.same(
      [links("ipv4"), links("ipv6")],
      [[ipv4, ipv6].slice(0, 1), [ipv6]].map((list) => list.filter(Boolean)),
      what,
    );
  }
  t.end();
});

t.test("only several ways out have tables, each its own", (t) => {
  const tables = (places: Place[]) => Object.fromEntries(waysOf(places).map(({ ifname, table }) => [ifname, table]));
  const [one, two, internal] = [networkRecord(1), networkRecord(2), networkRecord(3, { internal: true })];
  t.same(tables([{ on: one }]), { eth1: undefined });
  t.same(tables([{ on: one }, { on: internal }]), { eth1: undefined, eth3: undefined });
  t.same(tables([{ on: one }, { on: two }, { on: internal }]), { eth1: 1001, eth2: 1002, eth3: undefined });
  const named = tables([{ on: one, changes: { ifname: "lan0", id: "abcdef99" } }, { on: two }]);
  t.same(named, { lan0: 0x100000 + 0xabcdef, eth2: 1002 });
  t.same(tables([{ on: one, changes: { ifname: "eth12345", id: "00000099" } }, { on: two }]), {
    eth12345: 0x100000,
    eth2: 1002,
  });
  t.end();
});

t.test("an endpoint has what its network has", (t) => {
  const [endpoint] = waysOf([{ on: networkRecord(1, { ipv6: true, mtu: 1400 }) }]);
  t.same(endpoint, {
    id: endpoint!.id,
    network: "1".repeat(64),
    sandbox: sandbox.id,
    hostLink: "v-a-1",
    ifname: "eth1",
    mac: "02:42:0a:01:00:02",
    mtu: 1400,
    group: 0,
    addresses: [
      { ip: "10.1.0.2", prefix: 24 },
      { ip: "fd00:1::2", prefix: 64 },
    ],
    gateways: ["10.1.0.1", "fd00:1::1"],
    isDefault: { ipv4: true, ipv6: true },
    table: undefined,
  });
  const group = (changes: Partial<NetworkRecord>) => waysOf([{ on: networkRecord(1, changes) }])[0]?.group;
  t.equal(group({ icc: false }), QUIET_GROUP);
  t.equal(group({ icc: false, firewall: false }), 0, "no rules, nothing to tell it by");
  t.same(waysOf([{ on: networkRecord(1, { internal: true }) }])[0]?.gateways, []);
  t.same(
    wantedEndpoints([endpointRecord(sandbox, networkRecord(1))], () => undefined),
    [],
    "of no network",
  );
  t.end();
});
