// What pontoon-proxy and its bulk workers say to each other, over a SOCK_SEQPACKET pair.

/** One end of a connection at the time it is handed over; `unsent` in base64. */
export interface EndRecord {
  readonly ended: boolean;
  readonly shut: boolean;
  readonly unsent?: string;
}

export type ToWorker =
  /** Descriptors: the client's and the container's socket. */
  | { readonly kind: "take"; readonly publication: number; readonly halfClosedIdleMs: number; readonly client: EndRecord; readonly container: EndRecord }
  /** Resets all connections of a publication. */
  | { readonly kind: "end"; readonly publication: number };

/** What has happened since the last of these. */
export interface FromWorker {
  readonly kind: "progress";
  readonly publication: number;
  readonly ended: number;
  readonly bytesToContainer: number;
  readonly bytesToClients: number;
}
