/** A reply to one exact query, in the orders its addresses are given out in. */
export interface CachedReply {
  readonly variants: readonly Buffer[];
  next: number;
  /** Milliseconds of the monotonic clock; a reply of the table lasts until the table changes. */
  readonly until: number;
}

const entriesAtMost = 1024;

/**
 * Replies from the table by the query's bytes behind the id. A query seen before costs one look-up and one copy.
 * Emptied whenever the asker's answers may have changed, and when it is full: spelling a name in random letter case
 * (0x20) fills it with entries nobody asks for again.
 */
export class PacketCache {
  readonly #entries = new Map<string, CachedReply>();

  /** @param now only looked at for replies that do not last */
  get(query: string, now = 0): CachedReply | undefined {
    const entry = this.#entries.get(query);
    return entry && entry.until > now ? entry : undefined;
  }

  put(query: string, variants: readonly Buffer[], until = Infinity): void {
    if (this.#entries.size >= entriesAtMost) this.#entries.clear();
    this.#entries.set(query, { variants, next: variants.length > 1 ? 1 : 0, until });
  }

  clear(): void {
    this.#entries.clear();
  }
}
