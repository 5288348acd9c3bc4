// What pontoon-proxy and its bulk workers say to each other, over a SOCK_SEQPACKET pair.

/**
 * Version of it. During an upgrade a daemon may start workers from files that are newer than it and its pontoon-proxy are, and
 * a connection given to one that does not understand would be lost.
 */
export const PROTOCOL = 1;

/** One end of a connection at the time it is handed over; `unsent` in base64. */
export interface EndRecord {
  readonly ended: boolean;
  readonly shut: boolean;
  readonly unsent?: string;
}

export type ToWorker =
  /** Descriptors: the client's and the container's socket. */
  | {
      readonly kind: "take";
      readonly publication: number;
      readonly halfClosedIdleMs: number;
      /** The container's address. */ readonly to: string;
      readonly client: EndRecord;
      readonly container: EndRecord;
    }
  /** Resets the connections of a publication: those to certain addresses, or all. */
  | { readonly kind: "end"; readonly publication: number; readonly to?: readonly string[] };

/** What has happened since the last of these. */
export interface Progress {
  readonly kind: "progress";
  readonly publication: number;
  readonly ended: number;
  readonly bytesToContainer: number;
  readonly bytesToClients: number;
}

/** A worker says once that it is ready: what it were given before would wait for its start. */
export type FromWorker = { readonly kind: "ready"; readonly protocol: typeof PROTOCOL } | Progress;
