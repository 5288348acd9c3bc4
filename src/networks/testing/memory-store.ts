import type { Change, Kind, Store } from "../../store/store.js";

/** A store that forgets all when it is dropped. */
export class MemoryStore implements Store {
  readonly hasLost = false;
  readonly putAsideOnes: string[] = [];
  readonly #records = new Map<string, unknown>();
  /** Thrown by the next {@link write}. */
  failure: Error | undefined;

  all(kind: Kind): ReadonlyMap<string, unknown> {
    const own = [...this.#records].filter(([key]) => key.startsWith(`${kind} `));
    return new Map(own.map(([key, value]) => [key.slice(kind.length + 1), value]));
  }

  write(changes: readonly Change[]): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
    for (const { kind, key, value } of changes)
      if (value === undefined) this.#records.delete(`${kind} ${key}`);
      else this.#records.set(`${kind} ${key}`, JSON.parse(JSON.stringify(value)));
  }

  putAside(kind: Kind, key: string, reason: string): void {
    this.#records.delete(`${kind} ${key}`);
    this.putAsideOnes.push(`${kind} ${key}: ${reason}`);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
