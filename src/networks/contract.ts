import { z } from "zod";

// What the control API takes and gives about networks and sandboxes.

/** As Docker has it, and fit for the name of a file. */
const name = z
  .string()
  .regex(
    /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/,
    "a name is 1 to 63 letters, digits, `_`, `.` and `-`, and begins with a letter or digit",
  );
/** A name, or an id, or its beginning. */
const nameOrId = z.string().min(1).max(64);
const labels = z.record(z.string().min(1).max(4096), z.string().max(65_536));
const texts = z.array(z.string().min(1).max(1024)).max(1000);
/** Of a line of resolv.conf. */
const words = z.array(z.string().regex(/^[!-~]{1,255}$/, "one word without spaces")).max(1000);

/** `10mbit/1mbit`: to the sandbox, and from it. */
const bandwidth = z.string().max(100);

/** `POST /v1/networks`. */
export const createNetworkRequest = z.strictObject({
  name,
  driver: z.string().min(1).max(255).default("bridge"),
  /** Of a plugin's driver, as it knows them. */
  options: labels.exactOptional(),
  /** Who gives addresses; `default` without. */
  ipamDriver: z.string().min(1).max(255).exactOptional(),
  ipamOptions: labels.exactOptional(),
  subnets: texts.default([]),
  /** Each belongs to the subnet it is in. */
  gateways: texts.default([]),
  ipRanges: texts.default([]),
  ipv6: z.boolean().default(false),
  internal: z.boolean().default(false),
  icc: z.boolean().default(true),
  mtu: z.number().int().exactOptional(),
  masquerade: z.boolean().default(true),
  snatAddresses: texts.default([]),
  hostBinding: z.string().exactOptional(),
  bridge: z.string().exactOptional(),
  /** Who gives addresses out: `default` is pontoon, `dhcp` the LAN's own server. */
  ipam: z.string().exactOptional(),
  /** Of a network on a LAN: the host's link that leads there. */
  parent: z.string().min(1).max(64).exactOptional(),
  /** How links on the parent pass frames on. */
  mode: z.string().exactOptional(),
  /** The host's own addresses on it; `[]` chooses one of each family. */
  hostAddresses: texts.exactOptional(),
  firewall: z.boolean().default(true),
  /** The host's link to a LAN that reaches endpoints by their IPv6 addresses; `""` for that of the default route. */
  ndpProxy: z.string().max(64).exactOptional(),
  /** Of an overlay network: what passes between hosts is to be encrypted. */
  encrypted: z.boolean().exactOptional(),
  labels: labels.default({}),
});
export type CreateNetworkRequest = Readonly<z.infer<typeof createNetworkRequest>>;

/** `POST /v1/networks/connect`. */
export const connectRequest = z.strictObject({
  network: nameOrId,
  sandbox: nameOrId,
  ips: texts.default([]),
  mac: z.string().exactOptional(),
  ifname: z.string().exactOptional(),
  aliases: z.array(name).max(1000).default([]),
  /** `SANDBOX:ALIAS`, or only `SANDBOX`. */
  links: texts.default([]),
  gatewayPriority: z
    .number()
    .int()
    .min(-(2 ** 31))
    .max(2 ** 31 - 1)
    .default(0),
  bandwidth: bandwidth.exactOptional(),
});
export type ConnectRequest = Readonly<z.infer<typeof connectRequest>>;

/** `POST /v1/networks/disconnect`. */
export const disconnectRequest = z.strictObject({ network: nameOrId, sandbox: nameOrId });
export type DisconnectRequest = Readonly<z.infer<typeof disconnectRequest>>;

/** `POST /v1/sandboxes/pair`: a network that is one link between two sandboxes. */
export const pairRequest = z.strictObject({
  sandboxes: z.tuple([nameOrId, nameOrId]),
  subnets: texts,
  /** The network's name; those of the two sandboxes without. */
  name: name.exactOptional(),
});
export type PairRequest = Readonly<z.infer<typeof pairRequest>>;

/** `POST /v1/networks/remove`, `POST /v1/sandboxes/remove`. */

/** `POST /v1/sandboxes`. */
export const createSandboxRequest = z.strictObject({
  name,
  /** Names, in order; the network `default` without any. */
  networks: z.array(nameOrId).max(100).default([]),
  /** For the first of its networks. */
  ips: texts.default([]),
  mac: z.string().exactOptional(),
  aliases: z.array(name).max(1000).default([]),
  links: texts.default([]),
  /** On each of its networks. */
  bandwidth: bandwidth.exactOptional(),
  /** A namespace that is there already: the path of one. */
  adopt: z.string().max(4096).exactOptional(),
  /** Name or id of a running container of Docker's without a network. */
  container: z.string().min(1).max(255).exactOptional(),
  /** Another sandbox, whose network stack it shares. */
  join: nameOrId.exactOptional(),
  hostname: z
    .string()
    .regex(/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?$/, "not a hostname")
    .exactOptional(),
  /** `80`, `53/udp`, `8000-8010/tcp`. */
  exposed: texts.default([]),
  dns: texts.default([]),
  dnsSearch: words.default([]),
  dnsOptions: words.default([]),
  /** `NAME:ADDRESS`. */
  extraHosts: texts.default([]),
  labels: labels.default({}),
});
export type CreateSandboxRequest = Readonly<z.infer<typeof createSandboxRequest>>;

/** A network, with fields as `docker network inspect` has them. */
export interface NetworkAnswer {
  readonly Name: string;
  readonly Id: string;
  readonly Created: string;
  readonly Scope: "local";
  readonly Driver: string;
  readonly EnableIPv6: boolean;
  readonly IPAM: {
    readonly Driver: string;
    readonly Options?: Readonly<Record<string, string>>;
    readonly Config: readonly { readonly Subnet: string; readonly Gateway: string; readonly IPRange?: string }[];
  };
  readonly Internal: boolean;
  readonly Containers: Readonly<
    Record<
      string,
      {
        readonly Name: string;
        readonly EndpointID: string;
        readonly MacAddress: string;
        readonly IPv4Address: string;
        readonly IPv6Address: string;
        /** What the LAN's server has lent, or had lent last. */
        readonly Lease?: LeaseAnswer;
        /** `10mbit/1mbit`, where it is limited. */
        readonly Bandwidth?: string;
      }
    >
  >;
  readonly Options: Readonly<Record<string, string>>;
  readonly Labels: Readonly<Record<string, string>>;
}

/** Times are ISO 8601. */
export interface LeaseAnswer {
  /** Empty while there is none. */
  readonly Address: string;
  readonly Server: string;
  readonly Router: string;
  readonly Obtained: string;
  /** Empty without end. */
  readonly Expires: string;
}

/** What `brctl show` and `ip link` tell of a network, joined: `GET /v1/networks/links`. Null is what is not there, or not ours to know. */
export interface NetworkLinksAnswer {
  readonly network: string;
  readonly bridge: string;
  /** Priority and MAC address of the bridge. */
  readonly id: string | null;
  readonly stp: boolean | null;
  readonly mtu: number | null;
  readonly mac: string | null;
  readonly up: boolean;
  readonly addresses: readonly string[];
  readonly ports: readonly {
    /** The host's end. */
    readonly link: string;
    readonly up: boolean;
    readonly mtu: number;
    readonly sandbox: string | null;
    /** The sandbox's end. */
    readonly end: string | null;
    readonly mac: string | null;
    readonly addresses: readonly string[];
  }[];
}

/** A sandbox, with what belongs to it. */
export interface SandboxAnswer {
  readonly name: string;
  readonly id: string;
  readonly created: string;
  /** `up`, or `gone` while its namespace is not there. */
  readonly state: "up" | "gone";
  readonly path: string;
  readonly adopted: string | null;
  /** Name of the sandbox whose network stack it shares. */
  readonly joined: string | null;
  readonly hostname: string;
  readonly exposed: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly networks: readonly {
    readonly network: string;
    readonly endpoint: string;
    readonly link: string;
    readonly hostLink: string;
    readonly mac: string;
    readonly ipv4: string | null;
    readonly ipv6: string | null;
    readonly aliases: readonly string[];
    /** `10mbit/1mbit`; null where it is not limited. */
    readonly bandwidth: string | null;
    /** What the driver of a plugin says of it. */
    readonly info?: Readonly<Record<string, string>>;
    /** Why it is not on its network of several hosts: somebody else has its name or address by now. */
    readonly cutOff?: string;
  }[];
}
