import type { Logger } from "pino";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import { sameData } from "../inventory/same-data.js";
import type {
  Committed,
  Presence,
  SharedNews,
  SharedRecord,
  SharedStore,
  SharedTransaction,
  Snapshot,
} from "../store/shared-store.js";
import type { Mirror, MirrorChange } from "./mirror.js";
import { clusterRecord, keys, stateBelow, type HostRecord, type SharedNetwork } from "./records.js";
import { joining } from "./transactions.js";

/** Seconds that a host is out of touch with the store until its names are withdrawn. */
export const presenceTtl = 15;
const againAfter = 500; // ms, doubled with each failure in a row
const againAtMost = 15_000;

/** What a host keeps of its cluster from one start to the next. */
export interface Identity {
  /** Of this host, for as long as its state directory is there. */
  readonly host: string;
  /** Of the cluster that it has joined; undefined before it has joined one. */
  readonly cluster: string | undefined;
  /** From now on it is one of that cluster. */
  joined(cluster: string): void;
}

export type MembershipState =
  /** The store has not been reached since the start. */
  | { readonly kind: "joining"; readonly reason: string | undefined }
  | { readonly kind: "joined"; readonly since: string }
  /** Out of touch with the store: what runs goes on, and nothing can be agreed on. */
  | { readonly kind: "apart"; readonly since: string; readonly reason: string }
  /** The store is reached, and this host has no place in its cluster. */
  | { readonly kind: "refused"; readonly code: string; readonly reason: string };

export interface MembershipEvents {
  onChange(change: MirrorChange, news: SharedNews): void;
  /**
   * The store has lost what was in it, or was restored from a backup: it has not these networks, which were there when this host
   * last heard. To be put back when this host has joined.
   */
  onNetworksLost(networks: readonly SharedNetwork[]): void;
  /** All that the store has is known, and others know that this host is in touch: its claims are to be compared. */
  onJoined(): void;
}

const refusals: readonly (string | undefined)[] = ["CLUSTER_OTHER", "ADVERTISE_TAKEN"];

/** This host's place among those that share a store: joins, follows, and joins again whenever touch was lost. */
export class Membership {
  #state: MembershipState = { kind: "joining", reason: undefined };
  #presence: Presence | undefined;
  #unfollow: (() => void) | undefined;
  #isStopped = false;
  #isEntering = false;
  /** Whether the store is known not to be the one that it was. */
  #isReplaced = false;
  #again: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(
    private readonly store: SharedStore,
    private readonly mirror: Mirror,
    private readonly host: HostRecord,
    private readonly identity: Identity,
    private readonly log: Logger,
    private readonly events: MembershipEvents,
  ) {}

  get state(): MembershipState {
    return this.#state;
  }

  /** Returns at once. */
  start(): void {
    void this.#enter();
  }

  /** Leaves the store as it is: others find this host out of touch when its presence has run out. Can be called twice. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#again);
    this.#unfollow?.();
    this.#unfollow = undefined;
  }

  /**
   * As {@link SharedStore.commit}. Rejects with CLUSTER_AWAY when the store is out of reach, CLUSTER_UNCERTAIN when it went out of reach
   * in between, and with why this host has no place in the cluster.
   */
  async commit(transaction: SharedTransaction): Promise<Committed> {
    this.requireJoined();
    return this.#asking(() => this.store.commit(transaction));
  }

  /** As {@link SharedStore.read}. Rejects as {@link commit}. */
  async read(prefix: string): Promise<Snapshot> {
    this.requireJoined();
    return this.#asking(() => this.store.read(prefix));
  }

  /** Throws what {@link commit} rejects with. */
  requireJoined(): void {
    const state = this.#state;
    if (state.kind === "joined") return;
    if (state.kind === "refused") throw new PontoonError(state.code, this.host.name, state.reason);
    throw away(state.reason ?? "it has not answered yet");
  }

  async #asking<Result>(ask: () => Promise<Result>): Promise<Result> {
    try {
      return await ask();
    } catch (error) {
      if (errorCode(error) === "STORE_UNREACHABLE") throw away(describeError(error));
      if (errorCode(error) !== "STORE_UNCERTAIN") throw error;
      throw new PontoonError(
        "CLUSTER_UNCERTAIN",
        this.host.name,
        `the store that hosts share went out of reach while it was asked, and it may have been done all the same: ${describeError(error)}; ` +
          "look, and try again",
      );
    }
  }

  /** Never rejects. */
  async #enter(): Promise<void> {
    if (this.#isEntering || this.#isStopped) return;
    this.#isEntering = true;
    clearTimeout(this.#again);
    this.#again = undefined;
    this.#unfollow?.();
    try {
      await this.#join();
      this.#failures = 0;
    } catch (error) {
      this.#failed(error);
    }
    this.#isEntering = false;
  }

  async #join(): Promise<void> {
    const snapshot = await this.#identified(await this.store.read(stateBelow));
    if (this.#isStopped) return;
    this.#noteLost(snapshot);
    this.#hear({ revision: snapshot.revision, changes: differences(this.mirror, snapshot) });
    await this.#register();
    if (this.#isStopped) return;
    this.#unfollow = this.store.follow(stateBelow, snapshot.revision, {
      onNews: (news) => this.#hear(news),
      onLost: (error) => {
        this.log.warn({ reason: describeError(error) }, "all that hosts share is read again");
        if (errorCode(error) === "STORE_REPLACED") this.#isReplaced = true;
        this.#enterSoon();
      },
    });
    if (this.#presence?.state.kind === "held") return this.#onJoined();
    if (this.#presence) return; // held again, it tells
    const alive = { key: keys.alive(this.host.id), value: { since: new Date().toISOString() } };
    let isFirst = true;
    this.#presence = this.store.keepPresent(alive, presenceTtl, {
      onHeld: () => {
        if (isFirst) this.#onJoined();
        else void this.#enter(); // others may have forgotten this host meanwhile
        isFirst = false;
      },
      onLost: () => this.#apart("this host's presence has run out"),
    });
  }

  /** What is gone from a store that is the one it was has been removed. */
  #noteLost({ records }: Snapshot): void {
    const [before, now] = [this.mirror.cluster, clusterRecord.safeParse(records.get(keys.cluster)?.value).data];
    const isLost = this.#isReplaced || (before !== undefined && before.created !== now?.created);
    this.#isReplaced = false;
    const lost = [...this.mirror.networks.values()].filter(({ id }) => !records.has(keys.network(id)));
    if (isLost && lost.length > 0) this.events.onNetworksLost(lost);
  }

  /** @returns the snapshot, with the cluster's own record. Rejects with CLUSTER_OTHER. */
  async #identified(snapshot: Snapshot): Promise<Snapshot> {
    const found = clusterRecord.safeParse(snapshot.records.get(keys.cluster)?.value).data;
    const known = this.identity.cluster;
    if (!found && snapshot.records.has(keys.cluster))
      throw new PontoonError(
        "CLUSTER_OTHER",
        this.host.name,
        `the store's own record (${keys.cluster}) makes no sense to this version of pontoon; is it another program's, or a later version's?`,
      );
    if (!found) {
      const cluster = { id: known ?? crypto.randomUUID(), created: new Date().toISOString() };
      if (known !== undefined)
        this.log.warn("the store that hosts share has lost what was in it; this host puts back what it has");
      await this.store.commit({
        requires: [{ kind: "absent", key: keys.cluster }],
        changes: [{ key: keys.cluster, value: cluster }],
      });
      return this.#identified(await this.store.read(stateBelow));
    }
    if (known !== undefined && known !== found.id)
      throw new PontoonError(
        "CLUSTER_OTHER",
        this.host.name,
        `the store is that of another cluster (${found.id}) than this host has joined (${known}); start the daemon with the ` +
          "right --store, or with an empty state directory",
      );
    if (known === undefined) this.identity.joined(found.id);
    return snapshot;
  }

  /** Rejects with ADVERTISE_TAKEN. */
  async #register(): Promise<void> {
    const before = this.mirror.hosts.get(this.host.id);
    if (before && isSame(before, this.host)) return;
    const host = { ...this.host, joined: before?.joined ?? this.host.joined };
    const committed = await this.store.commit(joining(host, before));
    if (committed.kind === "done") return;
    if (committed.failed.some(({ kind }) => kind === "present")) throw new Error("this host was forgotten meanwhile");
    const { advertise, name } = this.host;
    throw new PontoonError(
      "ADVERTISE_TAKEN",
      advertise,
      `another host has joined with the address ${advertise}; give ${name} its own with --advertise, or have the other one ` +
        "forgotten with `pontoon host forget`",
    );
  }

  #hear(news: SharedNews): void {
    const change = this.mirror.apply(news);
    if (news.changes.length > 0) this.events.onChange(change, news);
    if (change.hosts.has(this.host.id) && this.mirror.hosts.has(this.host.id)) this.#requirePresence();
    if (this.#state.kind === "joined" && !this.mirror.hosts.has(this.host.id)) this.#enterSoon(); // it was forgotten
  }

  /** Somebody else may have removed this host's presence, which its lease does not tell. */
  #requirePresence(): void {
    if (this.#state.kind !== "joined" || this.mirror.isAlive(this.host.id)) return;
    if (this.#presence?.state.kind !== "held") return; // it has run out, and is made anew
    void this.#presence.close();
    this.#presence = undefined;
    this.#enterSoon();
  }

  #onJoined(): void {
    if (this.#isStopped) return;
    if (this.#state.kind !== "joined")
      this.log.info({ host: this.host.id.slice(0, 12) }, "in touch with the other hosts' store");
    this.#state = { kind: "joined", since: new Date().toISOString() };
    this.events.onJoined();
  }

  #failed(error: unknown): void {
    if (this.#isStopped) return;
    const [code, reason] = [errorCode(error), describeError(error)];
    if (code !== undefined && refusals.includes(code)) {
      if (this.#state.kind !== "refused") this.log.error({ code, reason }, "this host cannot join the others");
      this.#state = { kind: "refused", code, reason };
      void this.#presence?.close(); // nothing of this host is to be in a store of others
      this.#presence = undefined;
    } else if (this.#state.kind === "joining" || this.#state.kind === "refused")
      this.#state = { kind: "joining", reason };
    else this.#apart(reason);
    this.#enterSoon();
  }

  #apart(reason: string): void {
    if (this.#state.kind !== "joined") return;
    this.log.warn({ reason }, "out of touch with the store that hosts share: what runs goes on as it is");
    this.#state = { kind: "apart", since: new Date().toISOString(), reason };
  }

  #enterSoon(): void {
    if (this.#isStopped || this.#again !== undefined) return;
    const delay = Math.min(againAfter * 2 ** this.#failures++, againAtMost) * (0.75 + Math.random() / 2);
    this.#again = setTimeout(() => void this.#enter(), delay);
  }
}

function isSame(one: HostRecord, other: HostRecord): boolean {
  const isAt = one.advertise === other.advertise && one.wireguard?.port === other.wireguard?.port;
  return isAt && one.name === other.name && one.wireguard?.publicKey === other.wireguard?.publicKey;
}

function away(reason: string): PontoonError {
  return new PontoonError(
    "CLUSTER_AWAY",
    "the store that hosts share",
    `the store that hosts share is out of reach (${reason}), and this needs it: try again when \`pontoon status\` says that ` +
      "the host has joined; what runs goes on",
  );
}

/** What is otherwise in a snapshot than is known. */
function differences(mirror: Mirror, { records }: Snapshot): SharedNews["changes"] {
  const gone = [...mirror.records.keys()].filter((key) => !records.has(key));
  // A store that was restored gives revisions a second time.
  const isOther = ({ key, revision, value }: SharedRecord) => {
    const known = mirror.records.get(key);
    return known?.revision !== revision || !sameData(known.value, value);
  };
  return [
    ...gone.map((key) => ({ key, record: undefined })),
    ...[...records.values()].filter(isOther).map((record) => ({ key: record.key, record })),
  ];
}
