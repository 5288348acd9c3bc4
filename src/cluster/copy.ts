import { changesAtMost, type SharedChange, type SharedStore, type Snapshot } from "../store/shared-store.js";

const writeAfter = 500; // ms

/**
 * This host's own copy of what the cluster knows, for a daemon that is started while the store is out of reach. It may be half a
 * second behind: whoever reads it has to hear from the store what has changed since.
 */
export class Copy {
  readonly #pending = new Map<string, SharedChange>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** @param onFailure told what could not be written */
  constructor(
    private readonly store: SharedStore,
    private readonly onFailure: (error: unknown) => void,
  ) {}

  read(): Promise<Snapshot> {
    return this.store.read("");
  }

  /** To be written soon. */
  note(changes: readonly SharedChange[]): void {
    for (const change of changes) this.#pending.set(change.key, change);
    if (this.#pending.size > 0) this.#timer ??= setTimeout(() => void this.#flush(), writeAfter);
  }

  #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#pending.size > 0) {
      const some = [...this.#pending.values()].slice(0, changesAtMost);
      for (const { key } of some) this.#pending.delete(key);
      try {
        await this.store.commit({ requires: [], changes: some });
      } catch (error) {
        this.onFailure(error);
      }
    }
  }

  /** Writes what is left. */
  async close(): Promise<void> {
    await this.#flush();
    await this.store.close();
  }
}
