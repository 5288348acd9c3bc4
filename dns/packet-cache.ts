/** A reply to one exact query, in the orders its addresses are given out in. */
export interface CachedReply {
  readonly variants: readonly Buffer[];
  next: number;
  /** Milliseconds of the monotonic clock; a reply of the table lasts until the table changes. */
  readonly until: number;
  /** Bytes. */
  readonly size: number;
}

const entriesAtMost = 1024;
/** Bytes of queries and replies. Queries that bring kilobytes of options would otherwise make a sandbox cost megabytes. */
const bytesAtMost = 512 * 1024;
/** Bytes; clients that ask for the same again do not send longer ones. */
const queryAtMost = 512;

/**
 * Replies from the table by the query's bytes behind the id. A query seen before costs one look-up and one copy.
 * Emptied whenever the asker's answers may have changed, and when it is full: spelling a name in random letter case
 * (0x20) fills it with entries nobody asks for again.
 */
export class PacketCache {
  readonly #entries = new Map<string, CachedReply>();
  #bytes = 0;

  /** @param now only looked at for replies that do not last */
  get(query: string, now = 0): CachedReply | undefined {
    const entry = this.#entries.get(query);
    return entry && entry.until > now ? entry : undefined;
  }

  put(query: string, variants: readonly Buffer[], until = Infinity): void {
    const size = query.length + variants.reduce((sum, { length }) => sum + length, 0);
    if (query.length > queryAtMost || size > bytesAtMost) return;
    if (this.#entries.size >= entriesAtMost || this.#bytes + size > bytesAtMost) this.clear();
    this.#bytes += size - (this.#entries.get(query)?.size ?? 0);
    this.#entries.set(query, { variants, next: variants.length > 1 ? 1 : 0, until, size });
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }
}
