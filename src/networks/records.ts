import { z } from "zod";

// What is kept of networks, sandboxes and endpoints. Who reads records of an earlier version finds defaults for what came later.

const labels = z.record(z.string(), z.string()).default({});

export const subnetRecord = z.strictObject({
  /** `10.89.0.0/24`. */
  subnet: z.string(),
  gateway: z.string(),
  /** Where addresses that nobody asked for come from; all of the subnet without. */
  ipRange: z.string().exactOptional(),
});

export const networkRecord = z.strictObject({
  id: z.string(),
  name: z.string(),
  /** ISO 8601. */
  created: z.string(),
  bridge: z.string(),
  /** The bridge was there before, and is not ours to change or remove. */
  isAdopted: z.boolean(),
  subnets: z.array(subnetRecord).readonly(),
  internal: z.boolean(),
  /** Whether its sandboxes reach one another. */
  icc: z.boolean(),
  masquerade: z.boolean(),
  /** What leaves does so from these addresses. */
  snatAddresses: z.array(z.string()).readonly(),
  mtu: z.number().int(),
  /** Where ports are published that name no address. */
  hostBinding: z.string().exactOptional(),
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

export const endpointRecord = z.strictObject({
  id: z.string(),
  network: z.string(),
  sandbox: z.string(),
  hostLink: z.string(),
  ifname: z.string(),
  mac: z.string(),
  ipv4: z.string().exactOptional(),
  ipv6: z.string().exactOptional(),
  aliases: z.array(z.string()).readonly(),
  /** `[sandbox, alias]`. */
  links: z.array(z.tuple([z.string(), z.string()])).readonly(),
  gatewayPriority: z.number().int(),
});

export type SubnetRecord = Readonly<z.infer<typeof subnetRecord>>;
export type NetworkRecord = Readonly<z.infer<typeof networkRecord>>;
export type SandboxRecord = Readonly<z.infer<typeof sandboxRecord>>;
export type EndpointRecord = Readonly<z.infer<typeof endpointRecord>>;
