import { LRUCache } from "lru-cache";
import type { StoredReply } from "./stored-reply.js";
import type { Source } from "./protocol.js";

/** What a kept reply costs besides its bytes, about: objects, the key's header, the table's slots. Measured with a million names. */
const overhead = 420;
/** An expired answer may still be given for so long when nobody else answers (RFC 8767 section 4), seconds. */
const staleAtMost = 86_400;

export interface CacheEntry {
  readonly stored: StoredReply;
  readonly source: Source & { kind: "upstream" };
  /** Milliseconds of the cache's clock. */
  readonly at: number;
}

/** What the cache has: fresh, or only good while the upstreams are down. */
export interface Cached {
  readonly entry: CacheEntry;
  readonly fresh: boolean;
  /** Seconds since it was learnt. */
  readonly age: number;
}

/** Replies of upstreams, bounded in bytes; the least recently used go first. */
export class AnswerCache {
  #entries: LRUCache<string, CacheEntry> | undefined;
  #limit = 0;

  /** Keeps nothing until it has a limit. @param now milliseconds that never go back */
  constructor(private readonly now: () => number) {}

  /** @param bytes for everything, keys and bookkeeping included; 0 keeps nothing. A new limit empties the cache. */
  limit(bytes: number): void {
    if (bytes === this.#limit) return;
    this.#limit = bytes;
    const sizeCalculation = ({ stored }: CacheEntry, key: string) => stored.bytes.length + key.length + 8 * stored.ttlOffsets.length + overhead;
    this.#entries = bytes > 0 ? new LRUCache({ maxSize: bytes, sizeCalculation }) : undefined;
  }

  get size(): number {
    return this.#entries?.size ?? 0;
  }

  /** Bytes in use, as counted. */
  get bytes(): number {
    return this.#entries?.calculatedSize ?? 0;
  }

  get(key: string): Cached | undefined {
    const entry = this.#entries?.get(key);
    if (!entry) return undefined;
    const age = (this.now() - entry.at) / 1000;
    const { lifetime } = entry.stored;
    if (age < lifetime) return { entry, fresh: true, age: Math.floor(age) };
    // A negative answer that has expired says nothing any more.
    if (!entry.stored.hasAnswers || age > lifetime + staleAtMost) {
      this.#entries?.delete(key);
      return undefined;
    }
    return { entry, fresh: false, age: Math.floor(age) };
  }

  put(key: string, stored: StoredReply, source: Source & { kind: "upstream" }): void {
    if (stored.lifetime > 0) this.#entries?.set(key, { stored, source, at: this.now() });
    else this.#entries?.delete(key); // what was said before must not outlive the news, though these are not kept
  }
}
