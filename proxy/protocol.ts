// What the daemon and pontoon-proxy say to each other: one JSON object a message, over a SOCK_SEQPACKET socket.
// Descriptors that come along are named in the message, in their order.
import type { Endpoint, Publication } from "./publication.js";
import type { PublicationReport } from "./relay.js";

/** A peer that speaks another number is replaced, not understood. */
export const PROTOCOL = 1;

export type ToProxy =
  | { readonly kind: "hello"; readonly protocol: number; readonly version: string }
  /** Descriptor: the bound socket (TCP: listening). Answered with `opened` or `failed`. */
  | { readonly kind: "open"; readonly publication: Publication }
  /** No target: clients are refused in the kernel until there is one again. */
  | { readonly kind: "retarget"; readonly id: string; readonly target?: Endpoint }
  /** The port is free when `closed` comes; connections may go on for the publication's `drainMs`. */
  | { readonly kind: "close"; readonly id: string }
  /** All publications were mentioned with `open` or `keep`; what the daemon opened earlier and did not mention is closed. */
  | { readonly kind: "synced" }
  /** A publication told of with `held` stays, with this target. */
  | { readonly kind: "keep"; readonly id: string; readonly target?: Endpoint }
  /** Descriptor: the channel of a new bulk worker. */
  | { readonly kind: "worker" }
  | { readonly kind: "report"; readonly request: number }
  | { readonly kind: "ping"; readonly request: number }
  /** Close everything, let connections drain, and end. */
  | { readonly kind: "stop" };

export type ToDaemon =
  | { readonly kind: "hello"; readonly protocol: number; readonly version: string; readonly pid: number; readonly publications: number }
  /** A publication that an earlier daemon opened. Descriptor: its socket. */
  | { readonly kind: "held"; readonly publication: Publication }
  /** All `held` messages have been sent. */
  | { readonly kind: "held-all" }
  | { readonly kind: "opened"; readonly id: string }
  | { readonly kind: "failed"; readonly id: string; readonly code: string; readonly message: string }
  | { readonly kind: "closed"; readonly id: string }
  /** A bulk worker has ended. Without one, bulk is relayed among everything else. */
  | { readonly kind: "want-worker" }
  | { readonly kind: "reported"; readonly request: number; readonly report: Report }
  | { readonly kind: "pong"; readonly request: number };

export interface Report {
  /** Of the daemon and of shims alike. */
  readonly publications: readonly PublicationReport[];
  /** Closed publications whose connections go on for a while. */
  readonly draining: number;
  readonly workers: number;
  /** Listeners that wait for descriptors to be freed. */
  readonly waitingForDescriptors: number;
  /** Bytes, of this process without its workers. */
  readonly residentMemory: number;
}
