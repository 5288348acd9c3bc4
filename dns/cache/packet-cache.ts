/** A reply to one exact query, in the orders its addresses are given out in. */
export interface CachedReply {
  readonly variants: readonly Buffer[];
  next: number;
  /** Milliseconds of the monotonic clock; a reply of the table lasts until the table changes. */
  readonly until: number;
  /** Bytes. */
  readonly size: number;
}

/** Entries and bytes of queries and replies every client may have; queries that bring kilobytes of options count for many. */
const ownEntries = 1024;
const ownBytes = 512 * 1024;
/** Bytes; clients that ask for the same again do not send longer queries. */
const queryAtMost = 512;
/** About what an entry takes up besides its bytes. */
const overhead = 200; // bytes
const roomForMore = 16_000_000; // bytes

/** What all clients together may take up beyond what each has of its own. */
export class SharedRoom {
  #left: number;

  constructor(bytes = roomForMore) {
    this.#left = bytes;
  }

  /** @returns false, and takes nothing, when there is not so much left */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}

/**
 * Replies from the table by the query's bytes behind the id. A query seen before costs one look-up and one copy.
 * Emptied whenever the client's answers may have changed, and when it is full: spelling a name in random letter case
 * (0x20) fills it with entries nobody asks for again. A client that does so takes no other's own entries away.
 */
export class PacketCache {
  readonly #entries = new Map<string, CachedReply>();
  #bytes = 0;
  #borrowed = 0;

  constructor(private readonly room = new SharedRoom()) {}

  /** @param now only looked at for replies that do not last */
  get(query: string, now = 0): CachedReply | undefined {
    const entry = this.#entries.get(query);
    return entry && entry.until > now ? entry : undefined;
  }

  put(query: string, variants: readonly Buffer[], until = Infinity): void {
    const size = query.length + variants.reduce((sum, { length }) => sum + length, 0);
    if (query.length > queryAtMost || size > ownBytes) return;
    const known = this.#entries.get(query);
    const isWithin = (known !== undefined || this.#entries.size < ownEntries) && this.#bytes + size <= ownBytes;
    if (!isWithin && !this.#borrow(size + overhead)) this.clear();
    this.#bytes += size - (this.#entries.get(query)?.size ?? 0);
    this.#entries.set(query, { variants, next: variants.length > 1 ? 1 : 0, until, size });
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
    this.room.giveBack(this.#borrowed);
    this.#borrowed = 0;
  }

  #borrow(bytes: number): boolean {
    if (!this.room.take(bytes)) return false;
    this.#borrowed += bytes;
    return true;
  }
}
