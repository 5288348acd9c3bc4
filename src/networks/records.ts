import { z } from "zod";
import type { Lease } from "../../network/dhcp/lease.js";
import { ipvlanModes, macvlanModes } from "../../linux/netlink/rtnetlink/child-links.js";

// What is kept of networks, sandboxes and endpoints. Who reads records of an earlier version finds defaults for what came later.

const labels = z.record(z.string(), z.string()).default({});

export const subnetRecord = z.strictObject({
  /** `10.89.0.0/24`. */
  subnet: z.string(),
  gateway: z.string(),
  /** Where addresses that nobody asked for come from; all of the subnet without. */
  ipRange: z.string().exactOptional(),
  /** It is this part of the prefix that the host has on a link, and follows that: the part's length in bits, and its number. */
  from: z.strictObject({ link: z.string(), bits: z.number().int(), number: z.number().int() }).exactOptional(),
  /** Addresses of the bridge's in parts of earlier prefixes, which it may have still. */
  former: z.array(z.string()).exactOptional(),
});

/** What a network is on in place of a bridge: a link of the host that leads to a LAN. */
const lanRecord = z.strictObject({
  child: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("macvlan"), mode: z.enum(macvlanModes) }),
    z.strictObject({ kind: z.literal("ipvlan"), mode: z.enum(ipvlanModes) }),
  ]),
  parent: z.string(),
  /** The parent was not there: it is made, of this link. */
  vlan: z.strictObject({ of: z.string(), id: z.number().int() }).exactOptional(),
  /** The host's own addresses on it, at a link of its own; without any, host and sandboxes do not reach each other. */
  hostAddresses: z.array(z.string()).readonly(),
  /** Addresses are the LAN's to give out: each has to be named. */
  needsAddress: z.boolean(),
  /** Addresses are lent by the LAN's own DHCP server; the network has no subnets of its own. */
  dhcp: z.literal(true).exactOptional(),
});

/** An address with its prefix. */
const addressRecord = z.strictObject({ ip: z.string(), prefix: z.number().int() });

/** Whose driver makes the links of a network in place of ours: a plugin of Docker's kind. */
const remoteNetworkRecord = z.strictObject({
  driver: z.string(),
  /** As the user has given them. */
  options: z.record(z.string(), z.string()),
});

/** Which link leads to other hosts, and how. */
const overlayNetworkRecord = z.strictObject({
  link: z.string(),
  /** VXLAN network identifier (RFC 7348). */
  vni: z.number().int(),
  /** Of UDP. */
  port: z.number().int(),
  /** This host's address on the underlay; of an encrypted network, in the tunnel, and empty where the host has none. */
  local: z.string(),
  isEncrypted: z.literal(true).exactOptional(),
});

/** Who gives out addresses in place of us: an IPAM plugin, or nobody (`null`) where the driver has its own. */
const ipamRecord = z.strictObject({
  driver: z.string(),
  options: z.record(z.string(), z.string()),
  /** Whether a link's MAC address has to be known before its address. */
  needsMac: z.boolean(),
  pools: z
    .array(
      z.strictObject({
        id: z.string(),
        addressSpace: z.string(),
        /** `10.89.0.0/24`. */
        subnet: z.string(),
        gateway: addressRecord,
      }),
    )
    .readonly(),
});

/** What a network's driver has answered about an endpoint. */
const remoteEndpointRecord = z.strictObject({
  addresses: z.array(addressRecord).readonly(),
  /** One of a family, at most. */
  gateways: z.array(z.string()).readonly(),
  /** Without `via`, right over the link. */
  routes: z.array(z.strictObject({ to: addressRecord, via: z.string().exactOptional() })).readonly(),
  /** What it says of the endpoint to people. */
  info: z.record(z.string(), z.string()),
  /** The link's own MAC address, where nobody had chosen one, as it was seen in the sandbox. */
  seenMac: z.string().exactOptional(),
});

export const networkRecord = z.strictObject({
  id: z.string(),
  name: z.string(),
  /** ISO 8601. */
  created: z.string(),
  /** The host's link on it: a bridge; on a LAN the one by which the host reaches its sandboxes, if there is one. */
  bridge: z.string(),
  lan: lanRecord.exactOptional(),
  /** Other hosts have it, too: beside the bridge there is a link that carries frames to them. */
  overlay: overlayNetworkRecord.exactOptional(),
  /** In place of a bridge there is one link, whose two ends its two endpoints are. */
  pair: z.literal(true).exactOptional(),
  /** In place of a bridge there is what a plugin's driver makes. */
  remote: remoteNetworkRecord.exactOptional(),
  ipam: ipamRecord.exactOptional(),
  /** The bridge was there before, and is not ours to change or remove. */
  isAdopted: z.boolean(),
  subnets: z.array(subnetRecord).readonly(),
  internal: z.boolean(),
  /** Whether its sandboxes reach one another. */
  icc: z.boolean(),
  masquerade: z.boolean(),
  /** What leaves does so from these addresses. */
  snatAddresses: z.array(z.string()).readonly(),
  /** 0 where the driver has to know. */
  mtu: z.number().int(),
  /** Where ports are published that name no address. */
  hostBinding: z.string().exactOptional(),
  /** The host's link to a LAN where it answers for IPv6 addresses of endpoints; whether it did so for others before. */
  ndpProxy: z.strictObject({ link: z.string(), wasOn: z.boolean() }).exactOptional(),
  /** Whether it has rules in the host's firewall. */
  firewall: z.boolean().default(true),
  labels,
});

/** Whose namespace a sandbox has. */
const namespaceRecord = z.discriminatedUnion("kind", [
  /** Made for it. */
  z.strictObject({ kind: z.literal("own") }),
  /**
   * Of a process or a container, or one that was there with a name of its own. `target` is what its name leads to. With `inode`
   * it is that namespace and no other: the number of a process that has ended is soon that of another.
   */
  z.strictObject({
    kind: z.literal("adopted"),
    target: z.string(),
    inode: z.number().int().exactOptional(),
    /** Id of the container of Docker's that it is of. */
    container: z.string().exactOptional(),
    /** Of a container of another engine, which had it attached. */
    attached: z.strictObject({ engine: z.enum(["cni", "netavark"]), container: z.string() }).exactOptional(),
  }),
  /** That of another sandbox, whichever it is: `target` is the path of that one. */
  z.strictObject({ kind: z.literal("joined"), sandbox: z.string(), target: z.string() }),
]);

export const sandboxRecord = z.strictObject({
  id: z.string(),
  name: z.string(),
  created: z.string(),
  namespace: namespaceRecord,
  /** Inode of the namespace when it was last seen; 0 before. */
  inode: z.number().int().default(0),
  hostname: z.string(),
  /** `[port, transport]`. */
  exposed: z.array(z.tuple([z.number().int(), z.enum(["tcp", "udp", "sctp"])])).readonly(),
  dns: z.strictObject({
    servers: z.array(z.string()).readonly(),
    search: z.array(z.string()).readonly(),
    options: z.array(z.string()).readonly(),
  }),
  /** Lines for its hosts file. */
  extraHosts: z.array(z.tuple([z.string(), z.string()])).readonly(),
  labels,
});

const route = z.strictObject({
  destination: z.strictObject({ ip: z.string(), prefix: z.number().int() }),
  gateway: z.string().exactOptional(),
});
const texts = z.array(z.string()).readonly();

/** A {@link Lease}, and where it was made. */
const leaseRecord = z.strictObject({
  ip: z.string(),
  prefix: z.number().int(),
  router: z.string().exactOptional(),
  routes: z.array(route).readonly(),
  dns: texts,
  search: texts,
  mtu: z.number().int().exactOptional(),
  server: z.string(),
  serverMac: z.string(),
  obtained: z.number(),
  renewal: z.number().nullable(),
  rebinding: z.number().nullable(),
  expiry: z.number().nullable(),
  /** Start of the host and namespace; in another one it has to be asked whether the lease counts still. */
  place: z.string(),
}) satisfies z.ZodType<Lease>;

/** Bits a second, and bytes that may pass at once. */
const rateLimit = z.strictObject({ rate: z.number().int(), burst: z.number().int().exactOptional() });

/** How fast an endpoint is at the most. */
export const bandwidthRecord = z.strictObject({
  toSandbox: rateLimit.exactOptional(),
  fromSandbox: rateLimit.exactOptional(),
});

export const endpointRecord = z.strictObject({
  id: z.string(),
  network: z.string(),
  sandbox: z.string(),
  /** Where a driver has made the link, what it was called when it did. */
  hostLink: z.string(),
  ifname: z.string(),
  /** Empty for a link that has its parent's, or its driver's choice. */
  mac: z.string(),
  ipv4: z.string().exactOptional(),
  ipv6: z.string().exactOptional(),
  aliases: z.array(z.string()).readonly(),
  /** `[sandbox, alias]`. */
  links: z.array(z.tuple([z.string(), z.string()])).readonly(),
  gatewayPriority: z.number().int(),
  /** How DHCP servers know it: hexadecimal. */
  clientId: z.string().exactOptional(),
  /** What was lent last: it counts while `ipv4` is there. */
  lease: leaseRecord.exactOptional(),
  /** By what name the container engine knows the network it had the container attached to. */
  attachment: z.string().exactOptional(),
  bandwidth: bandwidthRecord.exactOptional(),
  remote: remoteEndpointRecord.exactOptional(),
  /** It has no link: why. Somebody on another host has its name or its address by now. */
  cutOff: z.string().exactOptional(),
});

export type SubnetRecord = Readonly<z.infer<typeof subnetRecord>>;
export type LanRecord = Readonly<z.infer<typeof lanRecord>>;
export type NetworkRecord = Readonly<z.infer<typeof networkRecord>>;
export type SandboxRecord = Readonly<z.infer<typeof sandboxRecord>>;
export type BandwidthRecord = Readonly<z.infer<typeof bandwidthRecord>>;
export type EndpointRecord = Readonly<z.infer<typeof endpointRecord>>;
export type RemoteEndpointRecord = Readonly<z.infer<typeof remoteEndpointRecord>>;
export type IpamRecord = Readonly<z.infer<typeof ipamRecord>>;
