import type { Family, SocketAddress } from "../common/address.js";
// What the daemon and pontoon-dns say to each other: one JSON object a message, over a SOCK_SEQPACKET socket.
// Descriptors that come along are named in the message, in their order. The handshake is in common/handshake.ts.

/** After the handshake, daemon and server understand each other only if they speak the same number. */
export const PROTOCOL = 5;

/** Mark (SO_MARK) of packets that pass the takeover table and reach Docker's resolver. */
export const DOCKER_RESOLVER_MARK = 0x706e;
/** IP time-to-live of replies that must not renew the takeover: sent while letting go. */
export const LETTING_GO_TTL = 7;
/** Bytes of a heartbeat datagram, which are random: a container that knew them could hide that its takeover is gone. Too short to be DNS. */
export const HEARTBEAT_SIZE = 11;
/** Where containers ask, and the port they ask at. */
export const RESOLVER_ADDRESS = "127.0.0.11";
export const RESOLVER_PORT = 53;

export type Transport = "tcp" | "udp" | "sctp";

/** Who tells of networks and containers: dockerd, or pontoon of its own sandboxes. Each is complete, and forgotten, by itself. */
export const sources = ["docker", "pontoon"] as const;
export type SourceName = (typeof sources)[number];

/** A container's place on one network, with everything that may be asked about it. */
export interface EndpointRecord {
  readonly network: string;
  /** The container's. */
  readonly source: SourceName;
  /** Full container id. */
  readonly container: string;
  /** Container name first: it is what PTR and SRV answer with. Then aliases, short id, hostname. As users wrote them. */
  readonly names: readonly string[];
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  readonly ports: readonly (readonly [port: number, transport: Transport])[];
  /** Seconds. */
  readonly ttl: number;
}

export interface NetworkRecord {
  readonly id: string;
  readonly source: SourceName;
  readonly name: string;
  /** Names on it are not in the table: of endpoints on other hosts, or of a container here that has too many. */
  readonly shared: boolean;
}

/** A server to forward to, and the namespace from which dockerd would dial it. */
export interface Upstream extends SocketAddress {
  readonly from: "host" | "container";
  /** Whose answers these are: one sandbox's, or those of all on the same networks; undefined for everybody's. */
  readonly scope?: string;
}

export type Forwarding =
  /** The container is on internal networks only: nothing is forwarded for it. */
  { readonly kind: "never" } | { readonly kind: "upstreams"; readonly upstreams: readonly Upstream[] };

/**
 * What becomes of a single label that nobody has, here or under a suffix: forwarded as it is; answered without data, as
 * libnetwork's resolver does when `ndots` is set; or denied.
 */
export type SingleLabels = "forward" | "no-data" | "deny";

/** A network namespace whose 127.0.0.11 is answered, and what its client may see. */
export interface SandboxRecord {
  readonly id: string;
  readonly source: SourceName;
  readonly container: string;
  readonly containerName: string;
  /** In the order in which they are asked for a name, which is libnetwork's (`Endpoint.Less`); links are `[alias, target]`, private to the client. */
  readonly networks: readonly {
    readonly id: string;
    readonly links: readonly (readonly [alias: string, target: string])[];
  }[];
  readonly forwarding: Forwarding;
  readonly singleLabels: SingleLabels;
  /** Whether what is asked from inside the container is cached for all on the same networks, or for itself alone. */
  readonly sharesAnswers: boolean;
  /** Suffixes under which a single label that nobody has is looked up. */
  readonly search: readonly string[];
}

export interface Settings {
  /** Seconds without a daemon until the server lets go. */
  readonly orphanAfter: number;
  readonly queryLog: boolean;
  /** Bytes for answers of upstreams. */
  readonly cacheSize: number;
  /** Milliseconds an upstream may be silent before a later one's answer counts. */
  readonly patience: number;
}

/**
 * When the table may be behind Docker: then Docker's own resolver is asked for what is unknown, in namespaces that have it.
 * Elsewhere there is no gap.
 */
export interface Gap {
  /** The inventory is being listed, or the event stream is down. */
  readonly everywhere: boolean;
  /** Networks that a container is just joining. */
  readonly networks: readonly string[];
}

/**
 * A sandbox served for an earlier daemon. Descriptors: what tells its end (a pidfd, or for a namespace with a name a
 * descriptor of it), UDP listener, TCP listener.
 */
export interface HeldSandbox {
  readonly kind: "held";
  readonly sandbox: string;
  readonly port: number;
  /** The namespace's name, if it has one: e.g. `/run/netns/web`. */
  readonly path?: string;
  /** Docker's if it is left out. */
  readonly source?: SourceName;
}

/** What a daemon says after the handshake. */
export type ToServer =
  | { readonly kind: "settings"; readonly settings: Settings }
  | { readonly kind: "network"; readonly network: NetworkRecord }
  | { readonly kind: "network-gone"; readonly id: string }
  | { readonly kind: "endpoint"; readonly endpoint: EndpointRecord }
  | { readonly kind: "endpoint-gone"; readonly network: string; readonly container: string }
  | { readonly kind: "sandbox"; readonly sandbox: SandboxRecord }
  /**
   * Descriptors: what tells the namespace's end (a pidfd, or a descriptor of the namespace that is called `path`), UDP
   * listener, TCP listener, marked UDP socket if there is Docker's resolver, then `udp` and `tcp` sockets to forward from.
   */
  | {
      readonly kind: "sockets";
      readonly sandbox: string;
      readonly port: number;
      readonly path?: string;
      readonly hasDockerResolver: boolean;
      readonly udp: number;
      readonly tcp: number;
    }
  /** Descriptors: `udp` and `tcp` more sockets to forward from; IPv4 unless said. */
  | {
      readonly kind: "more-sockets";
      readonly sandbox: string;
      readonly family?: Family;
      readonly udp: number;
      readonly tcp: number;
    }
  /** Stop renewing the takeover, but go on answering; answered with `releasing`. */
  | { readonly kind: "release"; readonly sandbox: string }
  /** No query comes any more: finish what is being asked, then close everything there; answered with `released`. */
  | { readonly kind: "close"; readonly sandbox: string }
  | { readonly kind: "gap"; readonly gap: Gap }
  /** All of a source has been told: what of it was not mentioned since `hello` is gone. Serving its sandboxes begins here. */
  | { readonly kind: "synced"; readonly source: SourceName }
  /** The pulse, sent every second. A daemon without it hangs, and brings no more news than one that is gone. */
  | { readonly kind: "alive" }
  | { readonly kind: "explain"; readonly request: number; readonly sandbox: string; readonly query: string }
  | { readonly kind: "report"; readonly request: number }
  /** Forget what upstreams have said of a name (as people write it), or of every name; answered with `flushed`. */
  | { readonly kind: "flush"; readonly request: number; readonly name?: string };

/** What the server says after the handshake, and what it holds. */
export type ToDaemon =
  | {
      readonly kind: "want-sockets";
      readonly sandbox: string;
      readonly family?: Family;
      readonly udp: number;
      readonly tcp: number;
    }
  | { readonly kind: "releasing"; readonly sandbox: string }
  | { readonly kind: "released"; readonly sandbox: string }
  /** The sandbox's first process ended, or its name is gone; everything there is closed. */
  | { readonly kind: "ended"; readonly sandbox: string }
  /** Whether heartbeats come back through the takeover. */
  | { readonly kind: "answering"; readonly sandbox: string; readonly answering: boolean }
  | { readonly kind: "explained"; readonly request: number; readonly explanation: Explanation | undefined }
  /** More parts follow if it says so. Each has other sandboxes, and the last everything else. */
  | { readonly kind: "reported"; readonly request: number; readonly report: Report; readonly more?: boolean }
  /** How many answers were forgotten. */
  | { readonly kind: "flushed"; readonly request: number; readonly answers: number }
  | { readonly kind: "log"; readonly queries: readonly QueryLogEntry[]; readonly dropped: number };

/** Where an answer came from. */
export type Source =
  | { readonly kind: "local"; readonly network: string; readonly names: readonly string[] }
  | { readonly kind: "policy"; readonly reason: string }
  | { readonly kind: "docker" }
  | {
      readonly kind: "upstream";
      readonly upstream: Upstream;
      readonly transport: "udp" | "tcp";
      readonly cached?: boolean;
    }
  | { readonly kind: "failure"; readonly reason: string };

export interface Explanation {
  /** The whole reply, base64. */
  readonly reply: string;
  readonly source: Source;
  /** Milliseconds. */
  readonly took: number;
  readonly steps: readonly string[];
}

export interface QueryLogEntry {
  readonly sandbox: string;
  readonly container: string;
  readonly name: string;
  readonly type: number;
  readonly transport: "udp" | "tcp";
  readonly rcode: number;
  readonly source: string;
  /** Milliseconds. */
  readonly took: number;
}

export interface SandboxReport {
  readonly id: string;
  readonly answering: boolean;
  readonly counters: Counters;
}

export interface UpstreamReport {
  readonly upstream: Upstream;
  readonly asked: number;
  readonly answered: number;
  readonly timeouts: number;
  readonly failures: number;
  /** Milliseconds, smoothed; 0 before the first answer. */
  readonly latency: number;
  /** It left several questions unanswered and has answered none since. Until it does, the next of the list is not kept waiting for it. */
  readonly down: boolean;
}

export interface Report {
  readonly sandboxes: readonly SandboxReport[];
  readonly upstreams: readonly UpstreamReport[];
  readonly networks: number;
  readonly endpoints: number;
  readonly cache: { readonly entries: number; readonly bytes: number };
  /** Bytes. */
  readonly residentMemory: number;
}

export interface Counters {
  queries: number;
  local: number;
  /** From the cached answers of upstreams. */
  cached: number;
  forwarded: number;
  dockerResolver: number;
  failed: number;
  refused: number;
  tcpConnections: number;
}
