// What the daemon and pontoon-proxy say to each other: one JSON object a message, over a SOCK_SEQPACKET socket.
// Descriptors that come along are named in the message, in their order. The handshake is in common/handshake.ts.
import type { SocketAddress } from "../common/address.js";
import type { Publication } from "./publication/publication.js";
import type { PortSpan } from "./dial/source-ports.js";
import type { PublicationReport } from "./publication/relay.js";

/** After the handshake, daemon and server understand each other only if they speak the same number. */
export const PROTOCOL = 4;

/** Addresses told of in one message. */
export const GONE_AT_MOST = 1000;

/** A publication that an earlier daemon opened. Descriptor: its socket. */
export interface HeldPublication {
  readonly kind: "held";
  readonly publication: Publication;
}

export interface Settings {
  /** How long connections of ports that dockerd publishes may go on after those were unpublished, ms. */
  readonly drainMs: number;
  /** That UDP flows are sent from. */
  readonly sourcePorts?: PortSpan;
}

/** What a daemon says after the handshake. */
export type ToProxy =
  | { readonly kind: "settings"; readonly settings: Settings }
  /** Descriptor: the bound socket (TCP: listening). Answered with `opened` or `failed`. */
  | { readonly kind: "open"; readonly publication: Publication }
  /** No target: clients are refused in the kernel until there is one again. */
  | { readonly kind: "retarget"; readonly id: string; readonly target?: SocketAddress }
  /** The port is free when `closed` comes; connections may go on for the publication's `drainMs`. */
  | { readonly kind: "close"; readonly id: string }
  /** All publications were mentioned with `open` or `keep`; what a daemon opened earlier and this one did not mention is closed. */
  | { readonly kind: "synced" }
  /** A publication from a `held` message stays, with this target. */
  | { readonly kind: "keep"; readonly id: string; readonly target?: SocketAddress }
  /** UDP ports that no flow may be sent from: flows that have one end. It replaces the ports of an earlier message. Answered with `avoided`. */
  | { readonly kind: "avoid"; readonly request: number; readonly ports: readonly number[] }
  /** Addresses that a container has lost: connections of any publication to them are reset, and flows forgotten. */
  | { readonly kind: "gone"; readonly addresses: readonly string[] }
  /** Descriptor: the channel of a new bulk worker. One that is not wanted has its channel closed, and ends. */
  | { readonly kind: "worker" }
  | { readonly kind: "report"; readonly request: number }
  | { readonly kind: "ping"; readonly request: number };

/** What pontoon-proxy says after the handshake, and what it holds. */
export type ToDaemon =
  | { readonly kind: "opened"; readonly id: string }
  | { readonly kind: "failed"; readonly id: string; readonly code: string; readonly message: string }
  | { readonly kind: "closed"; readonly id: string }
  /** Why a shim was sent to Docker's own docker-proxy. */
  | { readonly kind: "declined"; readonly reason: string }
  | { readonly kind: "avoided"; readonly request: number }
  /** Something that those who run the host should know. */
  | { readonly kind: "notice"; readonly reason: string }
  /** Connections to the container of a publication fail. Reason: name of an errno. At most one a minute of each. */
  | { readonly kind: "failed-dials"; readonly id: string; readonly reason: string }
  /** A bulk worker is to be started. Until there is one, bulk is relayed among everything else. */
  | { readonly kind: "want-worker" }
  /** More parts follow if it says so. Each has other publications, and the last everything else. */
  | { readonly kind: "reported"; readonly request: number; readonly report: Report; readonly more?: boolean }
  | { readonly kind: "pong"; readonly request: number };

export interface Report {
  /** Those of the daemon and those of shims. */
  readonly publications: readonly PublicationReport[];
  /** Closed publications whose connections go on for a while. */
  readonly draining: number;
  /** How many of the publications are dockerd's. */
  readonly shims: number;
  readonly workers: number;
  /** Listeners that wait for descriptors to be freed. */
  readonly waitingForDescriptors: number;
  /** Bytes, of this process without its workers. */
  readonly residentMemory: number;
}
