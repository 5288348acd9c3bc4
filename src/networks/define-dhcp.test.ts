import t from "tap";
import { defaultPools, uniqueLocalPool } from "../../network/addresses/pools.js";
import { dhcpIdentity, requireNoAddress } from "./define-dhcp.js";
import { defineNetwork } from "./define-network.js";
import { defineEndpoint } from "./define-endpoint.js";
import { networkRecord, refusalOf, registryOf, requestFor, sandboxRecord } from "./testing/records.js";

const parent = { vlan: undefined, mtu: 1500, addresses: ["192.168.7.5/24"], gateways: ["192.168.7.254"] };

const define = ({ parent: on = "eth0", ...fields }: { parent?: string | null } & Record<string, unknown>) =>
  defineNetwork(
    requestFor.network({ driver: "macvlan", ipam: "dhcp", ...(on !== null && { parent: on }), ...fields }),
    {
      id: "0123456789abcdef".repeat(4),
      created: "2026-01-02T03:04:05.000Z",
      pools: { ipv4: defaultPools, ipv6: [uniqueLocalPool("a test")] },
      taken: [],
      uplinkMtu: 1450,
      bridge: undefined,
      bridgesInUse: new Map(),
      parent,
      parents: ["eth0"],
    },
  );

t.test("the LAN's server says what addresses there are", (t) => {
  t.match(define({}), {
    subnets: { length: 0 },
    lan: { dhcp: true, needsAddress: false, hostAddresses: { length: 0 } },
  });
  t.match(define({ mtu: 1400 }), { mtu: 1400 });
  t.equal(refusalOf(() => define({ mtu: 60 }))[0], "MTU_INVALID");
  t.same(define({ hostAddresses: ["192.168.7.6"] }).lan?.hostAddresses, ["192.168.7.6"]);
  t.match(define({ driver: "ipvlan" }).lan, { dhcp: true, child: { kind: "ipvlan", mode: "l2" } });
  t.equal(define({ ipam: "default" }).lan?.dhcp, undefined);
  t.end();
});

t.test("what is the server's to say is refused", (t) => {
  const cases: [fields: Parameters<typeof define>[0], code: string, says: RegExp][] = [
    [{ subnets: ["192.168.7.0/24"] }, "OPTION_UNFIT", /without --subnet/],
    [{ gateways: ["192.168.7.254"] }, "OPTION_UNFIT", /without --gateway/],
    [{ ipRanges: ["192.168.7.64/28"] }, "OPTION_UNFIT", /without --ip-range/],
    [{ ipv6: true }, "OPTION_UNFIT", /without --ipv6/],
    [{ driver: "bridge", parent: null }, "OPTION_UNFIT", /driver bridge has no --ipam dhcp/],
    [{ driver: "pair", parent: null, subnets: ["10.1.0.0/24"] }, "OPTION_UNFIT", /driver pair has no --ipam dhcp/],
    [{ ipam: "none" }, "IPAM_UNKNOWN", /it is default or dhcp/],
    [{ driver: "ipvlan", mode: "l3s" }, "MODE_INVALID", /needs l2/],
    [{ hostAddresses: [] }, "HOST_ADDRESS_NEEDED", /--host-address/],
    [{ hostAddresses: ["192.168.7.5"] }, "ADDRESS_UNUSABLE", /192\.168\.7\.5 cannot be/],
    [{ hostAddresses: ["fd00::1"] }, "ADDRESS_UNUSABLE", /fd00::1 cannot be/],
    [{ hostAddresses: ["192.168.7.6", "192.168.7.7"] }, "ADDRESS_UNUSABLE", /192\.168\.7\.6 and 192\.168\.7\.7/],
  ];
  for (const [fields, code, says] of cases) {
    const [found, message] = refusalOf(() => define(fields));
    t.equal(found, code, JSON.stringify(fields));
    t.match(message, says);
  }
  const network = define({});
  t.equal(refusalOf(() => requireNoAddress(network, { ips: ["192.168.7.9"] }))[0], "OPTION_UNFIT");
  t.equal(refusalOf(() => requireNoAddress(networkRecord(1), { ips: ["10.1.0.9"] }))[0], "");
  t.end();
});

t.test("a sandbox is the same client whenever it returns, and a container whenever it starts", (t) => {
  const [network, other] = [define({}), networkRecord(2)];
  const attached = (id: string, container = "c1") =>
    dhcpIdentity(
      network,
      sandboxRecord(id, {
        namespace: { kind: "adopted", target: "/x", inode: 1, attached: { engine: "netavark", container } },
      }),
    );
  t.same(attached("a"), attached("b"));
  t.notSame(attached("a"), attached("a", "c2"));
  t.same(dhcpIdentity(network, sandboxRecord("a")), dhcpIdentity(network, sandboxRecord("a")));
  t.notSame(dhcpIdentity(network, sandboxRecord("a")), dhcpIdentity(network, sandboxRecord("b")));
  t.notSame(dhcpIdentity(network, sandboxRecord("a")), dhcpIdentity(other, sandboxRecord("a")));
  t.match(attached("a").clientId, /^ff[0-9a-f]{8}0004[0-9a-f]{32}$/, "RFC 4361, RFC 6355");

  const sandbox = sandboxRecord("a");
  const made = (fields: object) =>
    defineEndpoint(requestFor.endpoint(fields), registryOf({ networks: [network], sandboxes: [sandbox] }), {
      network,
      sandbox,
      given: {},
      id: "e".repeat(64),
    });
  t.match(made({}).mac, /^06(:[0-9a-f]{2}){5}$/);
  t.equal(made({ mac: "02:11:22:33:44:55" }).mac, "02:11:22:33:44:55");
  t.match(made({}), { clientId: dhcpIdentity(network, sandbox).clientId, ipv4: undefined });
  t.end();
});
