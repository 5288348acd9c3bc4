import { PontoonError } from "../../../common/errors.js";
import type {
  Committed,
  Condition,
  SharedNews,
  SharedRecord,
  SharedTransaction,
  Snapshot,
} from "../../store/shared-store.js";

// A store that hosts share, in memory: with etcd itself only some dozen schedules can be tried in the time of thousands.

/** What becomes of a transaction: `lost` before it arrives; done, or done later, and the answer is lost. */
export type Fate = "answered" | "lost" | "done unheard" | "done later";

/** What all hosts see. */
export class SimulatedStore {
  readonly #records = new Map<string, SharedRecord>();
  readonly news: SharedNews[] = [];
  readonly #late: SharedTransaction[] = [];
  #revision = 1;

  read(prefix: string): Snapshot {
    const found = [...this.#records].filter(([key]) => key.startsWith(prefix));
    return { revision: this.#revision, records: new Map(found) };
  }

  commit({ requires, changes }: SharedTransaction): Committed {
    const failed = requires.filter((condition) => !this.#holds(condition));
    if (failed.length > 0) return { kind: "refused", revision: this.#revision, failed };
    const revision = ++this.#revision;
    const told = changes.map(({ key, value }) => {
      const record = value === undefined ? undefined : { key, value: structuredClone(value), revision };
      if (record) this.#records.set(key, record);
      else this.#records.delete(key);
      return { key, record };
    });
    this.news.push({ revision, changes: told });
    return { kind: "done", revision };
  }

  #holds(condition: Condition): boolean {
    if (condition.kind === "none-below")
      return ![...this.#records.keys()].some((key) => key.startsWith(condition.prefix));
    const record = this.#records.get(condition.key);
    if (condition.kind === "absent") return record === undefined;
    return condition.kind === "present" ? record !== undefined : record?.revision === condition.revision;
  }

  putOff(transaction: SharedTransaction): void {
    this.#late.push(transaction);
  }

  /** What was put off arrives. */
  deliverLate(): void {
    for (const transaction of this.#late.splice(0)) this.commit(transaction);
  }
}

/** One host's way to the store: as a `Membership` has it. */
export class SimulatedWay {
  isCut = false;
  /** Of the next transactions, in turn; answered without. */
  readonly fates: Fate[] = [];

  /** @param turn waits until it is this host's turn: others' requests come in between */
  constructor(
    private readonly store: SimulatedStore,
    private readonly turn: () => Promise<unknown>,
  ) {}

  requireJoined(): void {
    if (this.isCut) throw failure("CLUSTER_AWAY");
  }

  async read(prefix: string): Promise<Snapshot> {
    this.requireJoined();
    await this.turn();
    return this.store.read(prefix);
  }

  async commit(transaction: SharedTransaction): Promise<Committed> {
    this.requireJoined();
    await this.turn();
    const fate = this.fates.shift() ?? "answered";
    if (fate === "lost") throw failure("CLUSTER_UNCERTAIN");
    if (fate === "done later") this.store.putOff(transaction);
    else {
      const committed = this.store.commit(transaction);
      if (fate === "answered") return committed;
    }
    throw failure("CLUSTER_UNCERTAIN");
  }
}

function failure(code: string): PontoonError {
  return new PontoonError(code, "simulated", `the simulated store: ${code}`);
}
