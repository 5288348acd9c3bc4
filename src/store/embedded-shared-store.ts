import { integer, record as recordShape } from "../../common/shape.js";
import { PontoonError } from "../../common/errors.js";
import { NewsLog } from "./news-log.js";
import { writeChanges } from "./shared-limits.js";
import type {
  Committed,
  Condition,
  Follower,
  Presence,
  PresenceEvents,
  SharedChange,
  SharedRecord,
  SharedStore,
  SharedTransaction,
  Snapshot,
} from "./shared-store.js";
import type { Change, Store } from "./store.js";

/** What is stored of a record. */
interface Kept {
  readonly revision: number;
  readonly value: unknown;
}

const isKept = recordShape<Kept>({ revision: integer(1), value: () => true });
const revisionKey = "shared-revision";

/**
 * What several hosts would agree on, kept by one alone in its own store: a transaction is a call, and one is always present.
 * Records of presence are in memory only, since they end with the process.
 */
export class EmbeddedSharedStore implements SharedStore {
  readonly #records: Map<string, SharedRecord>;
  readonly #log: NewsLog;
  #revision: number;
  #isClosed = false;

  /** Reads what is there. Throws STORE_UNREADABLE. */
  constructor(private readonly store: Store) {
    this.#records = new Map(this.#stored().map((record) => [record.key, record]));
    const counted = store.all("meta").get(revisionKey);
    const revisions = [...this.#records.values()].map(({ revision }) => revision);
    // Etcd's begins at 1, too: 0 is what no record has.
    this.#revision = revisions.reduce(
      (one, other) => Math.max(one, other),
      integer(1)(counted) ? (counted as number) : 1,
    );
    this.#log = new NewsLog(this.#revision);
  }

  read(prefix: string): Promise<Snapshot> {
    if (this.#isClosed) return Promise.reject(closed());
    const found = [...this.#records.values()].filter(({ key }) => key.startsWith(prefix));
    const records = new Map(found.sort(byKey).map((record) => [record.key, record]));
    return Promise.resolve({ revision: this.#revision, records });
  }

  /** Rejects as SharedStore.commit() and Store.write() say. */
  // eslint-disable-next-line @typescript-eslint/require-await -- what is thrown rejects
  async commit(transaction: SharedTransaction): Promise<Committed> {
    if (this.#isClosed) throw closed();
    const changes = writeChanges(transaction).map(({ key, text }) => ({
      key,
      value: text === undefined ? undefined : (JSON.parse(text) as unknown),
    }));
    const failed = transaction.requires.filter((condition) => !this.#holds(condition));
    if (failed.length > 0) return { kind: "refused", revision: this.#revision, failed };
    const real = changes.filter(({ key, value }) => value !== undefined || this.#records.has(key));
    if (real.length > 0) this.#change(real, true);
    return { kind: "done", revision: this.#revision };
  }

  follow(prefix: string, after: number, follower: Follower): () => void {
    if (this.#isClosed) throw closed();
    return this.#log.follow(prefix, after, follower);
  }

  keepPresent(
    { key, value }: { readonly key: string; readonly value: unknown },
    _ttl: number,
    events: PresenceEvents,
  ): Presence {
    if (this.#isClosed) throw closed();
    let isOpen = true;
    this.#change([{ key, value }], false);
    const revision = this.#revision;
    queueMicrotask(() => isOpen && events.onHeld(revision));
    const close = (): Promise<void> => {
      if (isOpen && !this.#isClosed && this.#records.has(key)) this.#change([{ key, value: undefined }], false);
      isOpen = false;
      return Promise.resolve();
    };
    const isHeld = (): boolean => isOpen && !this.#isClosed;
    return {
      get state() {
        return isHeld() ? ({ kind: "held", until: Infinity } as const) : ({ kind: "lost" } as const);
      },
      close,
    };
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#log.close();
    return Promise.resolve();
  }

  /** Changes records, with the next revision. Throws what Store.write() does; then nothing has changed. */
  #change(changes: readonly SharedChange[], isLasting: boolean): void {
    const revision = this.#revision + 1;
    if (isLasting) this.store.write([...changes.map((change) => storedChange(change, revision)), counter(revision)]);
    this.#revision = revision;
    const told = changes.map(({ key, value }) => {
      const record = value === undefined ? undefined : { key, value, revision };
      if (record) this.#records.set(key, record);
      else this.#records.delete(key);
      return { key, record };
    });
    this.#log.add({ revision, changes: told });
  }

  #holds(condition: Condition): boolean {
    switch (condition.kind) {
      case "absent":
        return !this.#records.has(condition.key);
      case "present":
        return this.#records.has(condition.key);
      case "unchanged":
        return this.#records.get(condition.key)?.revision === condition.revision;
      case "none-below":
        return ![...this.#records.keys()].some((key) => key.startsWith(condition.prefix));
    }
  }

  #stored(): readonly SharedRecord[] {
    return [...this.store.all("shared")].flatMap(([key, kept]) => {
      if (isKept(kept)) return [{ key, ...(kept as Kept) }];
      this.store.putAside("shared", key, "is not a record with a revision");
      return [];
    });
  }
}

function storedChange({ key, value }: SharedChange, revision: number): Change {
  return { kind: "shared", key, value: value === undefined ? undefined : { revision, value } };
}

function counter(revision: number): Change {
  return { kind: "meta", key: revisionKey, value: revision };
}

/** As etcd orders them: by their bytes. */
function byKey(one: SharedRecord, other: SharedRecord): number {
  return Buffer.compare(Buffer.from(one.key), Buffer.from(other.key));
}

function closed(): PontoonError {
  return new PontoonError("STORE_UNREACHABLE", "store", "the store was closed; nothing was changed");
}
