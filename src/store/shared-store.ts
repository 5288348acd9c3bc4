// What several hosts agree on. Where it is kept is theirs no more to know.

/** A record as the store has it. */
export interface SharedRecord {
  /** Parts joined by `/`, without one at the beginning: `networks/0a1b`. */
  readonly key: string;
  /** What JSON can hold. */
  readonly value: unknown;
  /** The store's revision with which it got this value. */
  readonly revision: number;
}

/** All records below a prefix, as they were at one revision. */
export interface Snapshot {
  readonly revision: number;
  /** By key. */
  readonly records: ReadonlyMap<string, SharedRecord>;
}

/** What has to be so for a transaction to be done. */
export type Condition =
  | { readonly kind: "absent"; readonly key: string }
  | { readonly kind: "present"; readonly key: string }
  /** It has the value that it got with this revision. */
  | { readonly kind: "unchanged"; readonly key: string; readonly revision: number }
  /** No record has a key that begins so. */
  | { readonly kind: "none-below"; readonly prefix: string };

/** A record that is to be as `value` says from now on, or to be gone when that is undefined. */
export interface SharedChange {
  readonly key: string;
  /** What JSON can hold; undefined removes the record, if there is one. */
  readonly value: unknown;
}

/** All of the changes if all of the conditions hold, else nothing. No key is changed twice. At most {@link changesAtMost} of each. */
export interface SharedTransaction {
  readonly requires: readonly Condition[];
  readonly changes: readonly SharedChange[];
}

/** etcd takes 128 operations in one transaction, as it comes. */
export const changesAtMost = 120;

export type Committed =
  | { readonly kind: "done"; readonly revision: number }
  /** Nothing was changed. `failed` has conditions that did not hold, at least one, as the store was at `revision`. */
  | { readonly kind: "refused"; readonly revision: number; readonly failed: readonly Condition[] };

/** What has changed, in the order of revisions. */
export interface SharedNews {
  readonly revision: number;
  /** `record` is undefined for one that is gone. */
  readonly changes: readonly { readonly key: string; readonly record: SharedRecord | undefined }[];
}

export interface Follower {
  /**
   * Told of each change after the revision that it began from, once, and in order. With no changes it says that none has been
   * missed up to a revision.
   */
  onNews(news: SharedNews): void;
  /**
   * Nothing more is told: some changes are not to be had any more (`STORE_COMPACTED`), or the store is not the one that it was
   * (`STORE_REPLACED`). Everything has to be read again. Of a store that is out of reach nothing is told: it is tried again.
   */
  onLost(error: Error): void;
}

/**
 * A record that is in the store as long as this process is in touch with it, unless another one removes it, and goes by itself
 * some seconds later.
 */
export interface Presence {
  /**
   * `held`: the store is sure to have it until `until`, ms as performance.now() has it. `lost`: it may be gone, and is made anew
   * as soon as the store is reached. A clock that is set has no part in it.
   */
  readonly state: { readonly kind: "held"; readonly until: number } | { readonly kind: "lost" };
  /** Removes it, if the store is reached. Can be called twice. */
  close(): Promise<void>;
}

export interface PresenceEvents {
  /** It is there, anew: with the store's revision at that. */
  onHeld(revision: number): void;
  /** It may be gone. */
  onLost(): void;
}

/** Records by key that several hosts read and change, each transaction as if it were alone. */
export interface SharedStore {
  /** Rejects with STORE_UNREACHABLE, or STORE_REFUSED. A value that is not JSON, since another program wrote it, is undefined. */
  read(prefix: string): Promise<Snapshot>;
  /**
   * Rejects with STORE_UNREACHABLE or STORE_REFUSED when nothing has been changed, or STORE_UNCERTAIN when it may have been, or
   * may be yet within some seconds: the store went out of reach in between. Who asks again has to look, and to make conditions
   * under which the first attempt, should it come late, does no harm. RangeError or TypeError for what no store takes.
   */
  commit(transaction: SharedTransaction): Promise<Committed>;
  /** Tells of what changes below a prefix after a revision, until the returned function is called. */
  follow(prefix: string, after: number, follower: Follower): () => void;
  /** Keeps a record there for as long as this process lives, and `ttl` seconds more. */
  keepPresent(record: { readonly key: string; readonly value: unknown }, ttl: number, events: PresenceEvents): Presence;
  /** Ends everything. What was asked rejects. Can be called twice. */
  close(): Promise<void>;
}
