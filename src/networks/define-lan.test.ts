import t from "tap";
import { defaultPools, uniqueLocalPool } from "../../network/addresses/pools.js";
import { Subnet } from "../../network/addresses/subnet.js";
import type { ParentFacts } from "./define-lan.js";
import { defineNetwork, type NetworkGround } from "./define-network.js";
import { refusalOf, requestFor } from "./testing/records.js";

const id = "0123456789abcdef".repeat(4);
const parent: ParentFacts = {
  vlan: undefined,
  mtu: 1500,
  addresses: ["192.168.7.5/24", "2001:db8:7::5/64"],
  gateways: ["192.168.7.254"],
};
const ground: NetworkGround = {
  id,
  created: "2026-01-02T03:04:05.000Z",
  pools: { ipv4: defaultPools, ipv6: [uniqueLocalPool("a test")] },
  taken: [{ subnet: Subnet.parse("10.5.0.0/16"), by: "network db" }],
  uplinkMtu: 1450,
  bridge: undefined,
  bridgesInUse: new Map(),
  parent,
  parents: ["eth0", "wlan0"],
};
function requestOf({ parent = "eth0", ...fields }: { parent?: string | null } & Record<string, unknown>) {
  return requestFor.network({ driver: "macvlan", ...(parent !== null && { parent }), ...fields });
}

/** On eth0, if nothing else is said; `null` is no parent. */
const define = (fields: Record<string, unknown>, changes: Partial<NetworkGround> = {}) =>
  defineNetwork(requestOf(fields), { ...ground, ...changes });

t.test("a parent is enough: the LAN is as the host has it, and gives its addresses out itself", (t) => {
  const { subnets, lan, mtu, firewall, masquerade } = define({});
  t.same(subnets, [
    { subnet: "192.168.7.0/24", gateway: "192.168.7.254" },
    { subnet: "2001:db8:7::/64", gateway: "2001:db8:7::1" },
  ]);
  const child = { kind: "macvlan", mode: "bridge" };
  t.same(lan, { child, parent: "eth0", hostAddresses: [], needsAddress: true });
  t.same([mtu, firewall, masquerade], [1500, false, false]);
  t.equal(define({ ipRanges: ["192.168.7.64/28"] }).lan?.needsAddress, false);
  t.end();
});

t.test("what is said of it counts", (t) => {
  const given = define({
    subnets: ["10.9.0.0/24"],
    gateways: ["10.9.0.9"],
    mode: "private",
    mtu: 1400,
    internal: true,
  });
  t.same(given.subnets, [{ subnet: "10.9.0.0/24", gateway: "10.9.0.9" }]);
  t.match(given, { lan: { child: { mode: "private" }, needsAddress: false }, mtu: 1400, internal: true });
  t.match(define({ driver: "ipvlan" }).lan?.child, { kind: "ipvlan", mode: "l2" });
  const vlan = { of: "eth0", id: 10 };
  const tagged = define(
    { parent: "eth0.10", subnets: ["10.9.0.0/24"] },
    { parent: { ...parent, vlan, addresses: [] } },
  );
  t.match(tagged.lan, { parent: "eth0.10", vlan });
  t.end();
});

t.test("the host's own addresses are named, or the first that are left", (t) => {
  const subnets = ["10.9.0.0/24", "10.10.0.0/24", "fd00:9::/64"];
  const hostAddresses = (fields: Record<string, unknown>) => define({ subnets, ...fields }).lan?.hostAddresses;
  t.same(hostAddresses({ hostAddresses: [] }), ["10.9.0.2", "fd00:9::2"]);
  t.same(hostAddresses({ hostAddresses: ["10.9.0.77"] }), ["10.9.0.77", "fd00:9::2"]);
  t.same(hostAddresses({ hostAddresses: [], ipRanges: ["10.9.0.64/28"] }), ["10.9.0.64", "fd00:9::2"]);
  t.end();
});

t.test("what cannot be is refused, and why", (t) => {
  const cases: [fields: Record<string, unknown>, changes: Partial<NetworkGround>, code: string, reason: RegExp][] = [
    [{ parent: null }, {}, "PARENT_NEEDED", /--parent, such as eth0, wlan0/],
    [{ parent: "eth9" }, { parent: undefined }, "PARENT_UNKNOWN", /no link eth9 .* eth0, wlan0/],
    [{ mode: "l2" }, {}, "MODE_INVALID", /macvlan has no mode l2; it has bridge, private, vepa, passthru/],
    [{ driver: "ipvlan", mode: "vepa" }, {}, "MODE_INVALID", /ipvlan has no mode vepa; it has l2, l3, l3s/],
    [{}, { parent: { ...parent, addresses: [] } }, "SUBNET_NEEDED", /eth0 has no address .* --subnet/],
    [{ subnets: ["10.5.1.0/24"] }, {}, "SUBNET_OVERLAPS", /network db/],
    [{ mtu: 1501 }, {}, "MTU_INVALID", /eth0 has 1500/],
    [{ hostAddresses: ["10.1.1.1"] }, {}, "ADDRESS_OUTSIDE", /10\.1\.1\.1 is in no subnet/],
    [{ hostAddresses: ["192.168.7.254"] }, {}, "ADDRESS_TAKEN", /the gateway/],
    [{ hostAddresses: ["192.168.7.5"] }, {}, "ADDRESS_TAKEN", /the parent/],
    [
      { ipRanges: ["192.168.7.64/28"] },
      { taken: [{ subnet: Subnet.parse("192.168.7.0/24"), by: "network lan" }] },
      "SUBNET_OVERLAPS",
      /network lan/,
    ],
    [{ icc: false }, {}, "OPTION_UNFIT", /has no --icc/],
    [{ bridge: "br1" }, {}, "OPTION_UNFIT", /has no --bridge-name/],
    [{ driver: "bridge" }, {}, "OPTION_UNFIT", /has no --parent: it has a bridge of its own/],
    [{ driver: "bridge", parent: null, hostAddresses: [] }, {}, "OPTION_UNFIT", /has no --host-access/],
    [{ driver: "overlay" }, {}, "OPTION_UNFIT", /overlay has no --parent/],
  ];
  for (const [fields, changes, code, reason] of cases) {
    const [found, message] = refusalOf(() => define(fields, changes));
    t.equal(found, code, JSON.stringify(fields));
    t.match(message, reason);
  }
  t.end();
});
