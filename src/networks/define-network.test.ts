import t from "tap";
import { defaultPools, uniqueLocalPool } from "../../network/addresses/pools.js";
import { Subnet } from "../../network/addresses/subnet.js";
import { defineNetwork, type BridgeFacts, type NetworkGround } from "./define-network.js";
import { refusalOf, requestFor } from "./testing/records.js";

const id = "0123456789abcdef".repeat(4);
const ground: NetworkGround = {
  id,
  created: "2026-01-02T03:04:05.000Z",
  pools: { ipv4: defaultPools, ipv6: [uniqueLocalPool("a test")] },
  taken: [{ subnet: Subnet.parse("172.17.0.0/16"), by: "Docker's network bridge" }],
  uplinkMtu: 1450,
  bridge: undefined,
  bridgesInUse: new Map([["br0", "db"]]),
  parent: undefined,
  parents: ["eth0", "wlan0"],
};
const bridge: BridgeFacts = { kind: "bridge", addresses: ["10.7.0.5/16"], mtu: 9000, isDockers: false };

const define = (fields: object, changes: Partial<NetworkGround> = {}) =>
  defineNetwork(requestFor.network(fields), { ...ground, ...changes });

t.test("a name is enough for a network", (t) => {
  t.same(define({}), {
    id,
    name: "web",
    created: "2026-01-02T03:04:05.000Z",
    bridge: "pt-0123456789ab",
    isAdopted: false,
    subnets: [{ subnet: "172.18.0.0/16", gateway: "172.18.0.1" }],
    internal: false,
    icc: true,
    masquerade: true,
    snatAddresses: [],
    mtu: 1450,
    firewall: true,
    labels: {},
  });
  t.end();
});

t.test("subnets, gateways and ranges find each other, whatever their order", (t) => {
  const { subnets } = define({
    subnets: ["10.1.0.0/24", "FD00:1:0::/64"],
    gateways: ["fd00:1::ff", "10.1.0.254"],
    ipRanges: ["10.1.0.128/25"],
  });
  t.same(subnets, [
    { subnet: "10.1.0.0/24", gateway: "10.1.0.254", ipRange: "10.1.0.128/25" },
    { subnet: "fd00:1::/64", gateway: "fd00:1::ff" },
  ]);
  const [first, second, ...more] = define({ ipv6: true }).subnets;
  t.same([first, more], [{ subnet: "172.18.0.0/16", gateway: "172.18.0.1" }, []]);
  t.match(second, { subnet: /^fd[0-9a-f:]+::\/64$/, gateway: /::1$/ });
  t.equal(
    define({ ipv6: true, subnets: ["fd00:1::/64"] }).subnets.length,
    1,
    "one that is named is not joined by another",
  );
  t.equal(
    define({ ipv6: true, subnets: ["10.1.0.0/24"] }).subnets.length,
    2,
    "unless --ipv6 asks for the other family",
  );
  t.end();
});

t.test("a bridge that is there is adopted with its addresses and its MTU", (t) => {
  const adopted = define({ bridge: "theirs" }, { bridge });
  t.match(adopted, { bridge: "theirs", isAdopted: true, mtu: 9000 });
  t.same(adopted.subnets, [{ subnet: "10.7.0.0/16", gateway: "10.7.0.5" }]);
  const own = [{ subnet: Subnet.parse("10.7.0.0/16"), by: "the host's route 10.7.0.0/16 dev theirs" }];
  t.same(define({ bridge: "theirs", subnets: ["10.7.0.0/16"] }, { bridge, taken: own }).subnets, adopted.subnets);
  t.end();
});

t.test("an MTU is what was asked for, as far as the families allow it", (t) => {
  t.equal(define({ mtu: 68 }).mtu, 68);
  t.equal(define({ mtu: 65_535 }).mtu, 65_535);
  t.equal(define({ mtu: 1280, ipv6: true }).mtu, 1280);
  t.end();
});

t.test("what cannot be is refused with a code and one sentence", (t) => {
  const cases: [fields: object, code: string, message: RegExp, ground?: Partial<NetworkGround>][] = [
    [
      { driver: "foo" },
      "DRIVER_UNKNOWN",
      /^there is no network driver foo; .* bridge, overlay, macvlan, ipvlan or pair$/,
    ],
    [{ bridge: "" }, "LINK_NAME_INVALID", /cannot be a link's name/],
    [{ bridge: "sixteen-letters-" }, "LINK_NAME_INVALID", /1 to 15 bytes/],
    [{ bridge: "a/b" }, "LINK_NAME_INVALID", /^a\/b cannot/],
    [{ bridge: ".." }, "LINK_NAME_INVALID", /^\.\. cannot/],
    [{ bridge: "a b" }, "LINK_NAME_INVALID", /^a b cannot/],
    [{ bridge: "br0" }, "BRIDGE_TAKEN", /^the bridge br0 belongs to network db already; choose another name$/],
    [{ bridge: "eth0" }, "BRIDGE_TAKEN", /eth0 is not a bridge/, { bridge: { ...bridge, kind: undefined } }],
    [{ subnets: ["10.1.0.1/24"] }, "SUBNET_INVALID", /10\.1\.0\.0\/24/],
    [{ subnets: ["ten"] }, "SUBNET_INVALID", /ten/],
    [{ subnets: ["172.17.8.0/24"] }, "SUBNET_OVERLAPS", /172\.17\.0\.0\/16, which Docker's network bridge has/],
    [{ subnets: ["10.1.0.0/16", "10.1.2.0/24"] }, "SUBNET_OVERLAPS", /which the same network has/],
    [{ gateways: ["gate"] }, "ADDRESS_INVALID", /^--gateway: gate is not an IP address$/],
    [{ subnets: ["10.1.0.0/24"], gateways: ["10.2.0.1"] }, "GATEWAY_OUTSIDE", /10\.2\.0\.1 .*\(10\.1\.0\.0\/24\)/],
    [{ subnets: ["10.1.0.0/24"], gateways: ["10.1.0.255"] }, "ADDRESS_UNUSABLE", /broadcast/],
    [{ subnets: ["10.1.0.0/24"], ipRanges: ["10.2.0.0/25"] }, "RANGE_OUTSIDE", /10\.2\.0\.0\/25/],
    [{ subnets: ["10.1.0.0/24"], ipRanges: ["10.0.0.0/8"] }, "RANGE_OUTSIDE", /10\.0\.0\.0\/8/],
    [{ snatAddresses: ["a"] }, "ADDRESS_INVALID", /^--snat-address: a /],
    [{ hostBinding: "a" }, "ADDRESS_INVALID", /^--host-binding: a /],
    [{ mtu: 67 }, "MTU_INVALID", /from 68 to 65535$/],
    [{ mtu: 1279, ipv6: true }, "MTU_INVALID", /from 1280 to 65535$/],
    [{ mtu: 65_536 }, "MTU_INVALID", /^an MTU of 65536 bytes cannot be/],
    [{}, "NO_FREE_SUBNET", /no subnet of the address pools is free/, { pools: { ipv4: [], ipv6: [] } }],
  ];
  for (const [fields, code, message, changes] of cases) {
    const [foundCode, foundMessage] = refusalOf(() => define(fields, changes));
    t.equal(foundCode, code, JSON.stringify(fields));
    t.match(foundMessage, message, JSON.stringify(fields));
  }
  t.end();
});
