// What outlives a restart, for those who own it. Where it is kept is theirs no more to know.

/** What a record is about, and the version of its value that this program writes. One that has a newer one is left alone. */
export const kinds = {
  meta: 1,
  publication: 1,
  network: 1,
  sandbox: 1,
  endpoint: 1,
  "docker-network": 1,
  "docker-endpoint": 1,
  pool: 1,
  address: 1,
  due: 1,
  shared: 1,
} as const;

export type Kind = keyof typeof kinds;

/** A record that is to be as `value` says from now on, or to be gone when that is undefined. */
export interface Change {
  readonly kind: Kind;
  /** Of one record among those of its kind: 1 to {@link keyAtMost} bytes. */
  readonly key: string;
  /** What JSON can hold; undefined removes the record, if there is one. */
  readonly value: unknown;
}

/** Bytes of a key, at most. */
export const keyAtMost = 512;

/** A record that made no sense. It is kept aside in the store as it was, unless nothing can be written. */
export interface DamagedRecord {
  readonly kind: string;
  readonly key: string;
  /** What is wrong with it, on one line. */
  readonly reason: string;
  /** The first letters of it. */
  readonly text: string;
}

/** Records by kind and key. */
export interface Store {
  /** Whether more may have been stored than is found: there was nothing when it was opened, or a record made no sense. */
  readonly hasLost: boolean;
  /**
   * Every record of a kind, by its key. Who owns the kind checks the values, and puts aside what makes no sense to it. Throws
   * STORE_UNREADABLE.
   */
  all(kind: Kind): ReadonlyMap<string, unknown>;
  /**
   * Changes all or none of it. When it returns, the next process sees it, however this one ends; a loss of power may take
   * back the last ones, in the order they were made. Throws STORE_UNWRITABLE, STATE_DIR_UNFIT; then nothing has changed.
   */
  write(changes: readonly Change[]): void;
  /** Takes a record out of its kind, keeps it aside and reports it. Never throws. */
  putAside(kind: Kind, key: string, reason: string): void;
  /** Nothing may be asked of it any more. Can be called twice. */
  close(): Promise<void>;
}
