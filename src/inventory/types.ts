// What is known of the Docker host, as plain data. Nothing here knows where it came from.

export type Transport = "tcp" | "udp" | "sctp";

/** Who tells of containers and networks, in the order in which they have a name that several give. */
export const sourceNames = ["pontoon", "docker", "hosts"] as const;
/** Of these, those whose sandboxes are on this host. */
export const sandboxSources = ["pontoon", "docker"] as const;
export type SandboxSource = (typeof sandboxSources)[number];

/** Whose a container or network is: dockerd's, one of pontoon's own sandboxes and networks, or another host's. */
export type SourceName = (typeof sourceNames)[number];

/** A port Docker publishes itself, as `docker port` shows it. */
export interface DockerPort {
  readonly transport: Transport;
  readonly ip: string;
  readonly hostPort: number;
  readonly containerPort: number;
}

export interface Network {
  readonly id: string;
  readonly source: SourceName;
  readonly name: string;
  readonly driver: string;
  /** The host has a link of its own on it, and so reaches what its driver keeps from it. */
  readonly hostAccess?: boolean;
  /** A plugin's driver makes its links for sandboxes of ours: whether replies pass the host is not known. */
  readonly isRemote?: boolean;
  readonly internal: boolean;
  /** Made by Docker itself and without names: the default bridge, host, none. */
  readonly predefined: boolean;
  /** Other hosts have endpoints on it. */
  readonly shared: boolean;
  /** The bridge's link on the host; left out where the driver is not `bridge`. */
  readonly bridge?: string;
  /** Where Docker binds ports of its containers that name no address; left out where that is every address of the host. */
  readonly hostBinding?: string;
  /** Families in which Docker binds no port of the host for its containers, and why. */
  readonly unbound?: { readonly ipv4?: UnboundMode; readonly ipv6?: UnboundMode };
  /** What Docker gives addresses from, as it says so: `172.18.0.0/16`. Left out where there are none, and for own networks. */
  readonly subnets?: readonly string[];
}

/** Gateway modes of Docker 27 and later: others reach containers by their own addresses, or nobody does, not even the host. */
export type UnboundMode = "routed" | "isolated";

/** A container's place on a network, joined or only configured. */
export interface Endpoint {
  /** Network id; before the first start Docker may know only the name. */
  readonly networkId: string;
  readonly networkName: string;
  readonly aliases: readonly string[];
  /** Links on a user-defined network, `[target, alias]` in Docker's order `target:alias`. */
  readonly links: readonly (readonly [target: string, alias: string])[];
  /** Addresses that its user has named, whether it is joined or not. Left out where there are none. */
  readonly named?: readonly string[];
  /** Undefined until it is joined. */
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  readonly hasGateway: { readonly ipv4: boolean; readonly ipv6: boolean };
  readonly gatewayPriority: number;
}

/** Whose network namespace a container runs in. */
export type NetworkMode =
  | { readonly kind: "own" }
  | { readonly kind: "host" }
  | { readonly kind: "none" }
  | { readonly kind: "container"; readonly of: string };

/** Where a running container's namespace is found. */
export type SandboxPlace = NamespacePlace & {
  /** Another for each namespace: a name or a container that gets a new one gets a new id with it. */
  readonly id: string;
};

/** How a network namespace is reached, and what its end is for us. */
export type NamespacePlace =
  /** It is that of a process, a container's first as a rule, and ends with it. */
  | { readonly kind: "process"; readonly pid: number }
  /** It has a name, e.g. `/run/netns/web`, and ends when that is gone or stands for another. A namespace has one inode as long as it lives. */
  | { readonly kind: "named"; readonly path: string; readonly inode: number };

/** A container, or a sandbox of pontoon's own. */
export interface Container {
  readonly id: string;
  readonly source: SourceName;
  /** Without the leading slash. */
  readonly name: string;
  readonly hostname: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly running: boolean;
  readonly sandbox: SandboxPlace | undefined;
  readonly networkMode: NetworkMode;
  /** Exposed ones. */
  readonly ports: readonly (readonly [port: number, transport: Transport])[];
  /** Those Docker publishes itself. */
  readonly published: readonly DockerPort[];
  /** Ports of the host that Docker is to publish over UDP, whether the container runs or not; in ranges of which one is chosen, where it says so. */
  readonly wantedUdp?: readonly { readonly first: number; readonly last: number }[];
  /** The port that was taken when dockerd last tried to start the container, which therefore does not run. */
  readonly unboundPort?: DockerPort;
  readonly dns: {
    readonly servers: readonly string[];
    readonly options: readonly string[];
    readonly search: readonly string[];
  };
  readonly endpoints: readonly Endpoint[];
  readonly hostsPath: string;
  readonly resolvConfPath: string;
  /** `--link` on the default bridge: the child's name, and the alias in the parent's hosts file. */
  readonly legacyLinks: readonly (readonly [child: string, alias: string])[];
  /** Seen only in a list so far: name and address are right, the rest is not known yet, or is too much to be looked at. */
  readonly partial: boolean;
  /** What of it exceeds the limits for one container, in a few words; undefined when nothing does. */
  readonly excess:
    { readonly reason: string; /** Whether it has names that are not kept. */ readonly names: boolean } | undefined;
}

/** An endpoint as a network's own list shows it. */
export interface ListedEndpoint {
  readonly container: string;
  readonly name: string;
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
}
