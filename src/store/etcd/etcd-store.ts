import type { Logger } from "pino";
import { describeError, PontoonError } from "../../../common/errors.js";
import type {
  Committed,
  Follower,
  Presence,
  PresenceEvents,
  SharedRecord,
  SharedStore,
  SharedTransaction,
  Snapshot,
} from "../shared-store.js";
import { Gateway, refusalFor } from "./gateway.js";
import { askHealth, type StoreHealth } from "./health.js";
import { Leases } from "./leases.js";
import { Lineage } from "./lineage.js";
import type { StoreTls } from "./member.js";
import { PresenceRecord } from "./presence-record.js";
import { endpointName, type Endpoint } from "./store-url.js";
import { committed, transactionBody } from "./transaction.js";
import { grpcCode, RefusedError } from "./verdict.js";
import { Watch } from "./watch.js";
import { headerOf, listOf, NonsenseError, pairOf, rangeEnd, recordOf, toBytes } from "./wire.js";

/** How the store is reached, and where its records are. */
export interface EtcdStoreOptions {
  /** As parseStoreUrl() gives them. */
  readonly endpoints: readonly Endpoint[];
  readonly tls?: StoreTls;
  readonly user?: string;
  readonly password?: string;
  /** In front of all keys. Default {@link defaultPrefix}. */
  readonly prefix?: string;
  readonly log: Logger;
}

export const defaultPrefix = "/pontoon/v1/";

/** Records of one answer, at most. */
const pageSize = 200;
/** ms between two looks at the store's revision while something is followed. */
const checkEvery = 5_000;
/** Times that a read is begun anew since etcd has compacted what was being read. */
const readsAtMost = 3;

const agreed = { repeat: "safely", isAgreed: true } as const;

/** A shared store in etcd 3.4 or later, by its HTTP/JSON gateway. docs/decisions.md says why not by etcd3. */
export class EtcdStore implements SharedStore {
  readonly #prefix: string;
  readonly #name: string;
  readonly #log: Logger;
  readonly #lineage = new Lineage((error) => this.#replaced(error));
  readonly #gateway: Gateway;
  readonly #leases: Leases;
  readonly #watches = new Set<Watch>();
  readonly #presences = new Set<PresenceRecord>();
  #checks: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor({ prefix = defaultPrefix, log, ...options }: EtcdStoreOptions) {
    this.#prefix = prefix;
    this.#log = log;
    this.#name = options.endpoints.map(endpointName).join(",");
    this.#gateway = new Gateway(options, this.#lineage);
    this.#leases = new Leases(this.#gateway, prefix);
  }

  async read(prefix: string): Promise<Snapshot> {
    for (let attempt = 1; ; attempt++)
      try {
        return await this.#readOnce(prefix);
      } catch (error) {
        const isCompacted = error instanceof RefusedError && error.grpcCode === grpcCode.outOfRange;
        if (!isCompacted || attempt >= readsAtMost) throw refusalFor(this.#name, error);
      }
  }

  async commit(transaction: SharedTransaction): Promise<Committed> {
    const body = transactionBody(this.#prefix, transaction);
    try {
      return committed(transaction, await this.#gateway.ask("/v3/kv/txn", body, { repeat: "once", isAgreed: true }));
    } catch (error) {
      throw error instanceof NonsenseError ? this.#nonsense("STORE_UNCERTAIN", error) : refusalFor(this.#name, error);
    }
  }

  follow(prefix: string, after: number, follower: Follower): () => void {
    if (this.#isClosed) throw new Error("the store is closed");
    const place = {
      gateway: this.#gateway,
      prefix: this.#prefix,
      log: this.#log,
      revision: () => this.#revision(),
    };
    const watch = new Watch(place, prefix, after, follower, () => this.#watches.delete(watch));
    this.#watches.add(watch);
    this.#scheduleCheck();
    return () => watch.close();
  }

  keepPresent(
    record: { readonly key: string; readonly value: unknown },
    ttl: number,
    events: PresenceEvents,
  ): Presence {
    if (this.#isClosed) throw new Error("the store is closed");
    const place = { leases: this.#leases, log: this.#log };
    const presence = new PresenceRecord(place, record, ttl, events, () => this.#presences.delete(presence));
    this.#presences.add(presence);
    return presence;
  }

  /** How the members do, each asked by itself. Never rejects, and takes two seconds at most. */
  health(): Promise<StoreHealth> {
    return askHealth(this.#gateway, this.#lineage.clusterId);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#checks);
    for (const watch of this.#watches) watch.close();
    for (const presence of this.#presences) presence.stop();
    this.#gateway.close();
    return Promise.resolve();
  }

  /** Page by page, all as of the first page's revision. */
  async #readOnce(prefix: string): Promise<Snapshot> {
    const records = new Map<string, SharedRecord>();
    const begin = this.#prefix + prefix;
    let revision = 0;
    for (let next = toBytes(begin), hasMore = true; hasMore;) {
      const range = { key: next, range_end: rangeEnd(begin), limit: String(pageSize), revision: String(revision) };
      const answer = await this.#gateway.ask("/v3/kv/range", range, agreed);
      const pairs = this.#understood(() => listOf(answer["kvs"]).map(pairOf));
      if (revision === 0) ({ revision } = headerOf(answer));
      for (const pair of pairs) {
        const record = recordOf(pair, this.#prefix);
        records.set(record.key, record);
      }
      hasMore = answer["more"] === true && pairs.length > 0;
      if (hasMore) next = toBytes(`${pairs.at(-1)!.key}\0`);
    }
    return { revision, records };
  }

  async #revision(): Promise<number> {
    const one = { key: toBytes(this.#prefix), limit: "1", keys_only: true };
    const answer = await this.#gateway.ask("/v3/kv/range", one, agreed);
    return headerOf(answer).revision;
  }

  #scheduleCheck(): void {
    this.#checks ??= setTimeout(() => {
      void this.#check().finally(() => {
        this.#checks = undefined;
        if (!this.#isClosed && this.#watches.size > 0) this.#scheduleCheck();
      });
    }, checkEvery);
  }

  async #check(): Promise<void> {
    try {
      const revision = await this.#revision();
      for (const watch of this.#watches) watch.check(revision);
    } catch (error) {
      this.#log.debug({ reason: describeError(error) }, "etcd's revision is not to be had");
    }
  }

  #replaced(error: PontoonError): void {
    this.#log.warn({ reason: error.message }, "another store");
    for (const watch of [...this.#watches]) watch.lose(error);
  }

  #understood<Value>(read: () => Value): Value {
    try {
      return read();
    } catch (error) {
      throw error instanceof NonsenseError ? this.#nonsense("STORE_UNREACHABLE", error) : error;
    }
  }

  #nonsense(code: string, error: NonsenseError): PontoonError {
    const message = `what answers at ${this.#name} is not etcd, or not one that pontoon knows (${error.message}); etcd 3.4 is needed`;
    return new PontoonError(code, this.#name, message, { cause: error });
  }
}
