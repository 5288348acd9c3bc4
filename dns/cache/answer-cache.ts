import type { Source } from "../protocol.js";
import { RecordRing } from "./record-ring.js";
import type { StoredReply } from "../wire/stored-reply.js";

/** An expired answer may still be given for so long when nobody else answers (RFC 8767 section 4), seconds. */
const staleAtMost = 86_400;
const ringAtLeast = 1024; // bytes

type UpstreamSource = Source & { kind: "upstream" };

/** What the cache has: fresh, or only good while the upstreams are down. */
export interface Cached {
  readonly stored: StoredReply;
  readonly source: UpstreamSource;
  readonly fresh: boolean;
  /** Seconds since it was learnt. */
  readonly age: number;
}

// A payload: when it was learnt (8 bytes, ms), lifetime (4, seconds), whose answer it is (2), rcode (1), flags (1), the
// number of TTL offsets (2), the offsets (2 each), the reply.
const LIFETIME = 8;
const SOURCE = 12;
const RCODE = 14;
const FLAGS = 15;
const TTL_COUNT = 16;
const TTLS = 18;

const HAS_ANSWERS = 1;
/** May still be given when it has expired and nobody else answers. */
const MAY_BE_STALE = 2;

/** Replies of upstreams, bounded in bytes. To make room, an owner with more than an equal share loses what was not used for longest. */
export class AnswerCache {
  #ring: RecordRing | undefined;
  #sources = new Sources();
  #limit = 0;

  /** Keeps nothing until it has a limit. @param now milliseconds that never go back */
  constructor(private readonly now: () => number) {}

  /** @param bytes for everything, keys and bookkeeping included; 0 keeps nothing. A new limit empties the cache. */
  limit(bytes: number): void {
    if (bytes === this.#limit) return;
    this.#limit = bytes;
    this.#empty();
  }

  get size(): number {
    return this.#ring?.size ?? 0;
  }

  /** Bytes in use. */
  get bytes(): number {
    return this.#ring?.bytes ?? 0;
  }

  get(key: string): Cached | undefined {
    const place = this.#ring?.get(key);
    if (!this.#ring || !place) return undefined;
    const { arena } = this.#ring;
    const { start } = place;
    const lifetime = arena.readUInt32LE(start + LIFETIME);
    const hasAnswers = (arena[start + FLAGS]! & HAS_ANSWERS) !== 0;
    const age = this.#ageAt(this.#ring, start);
    if (this.#isOver(this.#ring, start)) {
      this.#ring.delete(key);
      return undefined;
    }
    const bytesAt = start + TTLS + 2 * arena.readUInt16LE(start + TTL_COUNT);
    const ttlOffsets: number[] = [];
    for (let at = start + TTLS; at < bytesAt; at += 2) ttlOffsets.push(arena.readUInt16LE(at));
    const stored = {
      bytes: arena.toString("latin1", bytesAt, place.end),
      ttlOffsets,
      rcode: arena[start + RCODE]!,
      lifetime,
      hasAnswers,
    };
    return {
      stored,
      source: this.#sources.at(arena.readUInt16LE(start + SOURCE)),
      fresh: age < lifetime,
      age: Math.floor(age),
    };
  }

  /** @param owner for whom it was asked: it counts against this owner's share */
  put(key: string, stored: StoredReply, source: UpstreamSource, owner = ""): void {
    // The earlier answer must go, although this one is not cached.
    if (stored.lifetime === 0) return this.#ring?.delete(key);
    if (this.#sources.isFull) this.#empty();
    const { bytes, ttlOffsets } = stored;
    const start = this.#ring?.put(key, TTLS + 2 * ttlOffsets.length + bytes.length, owner);
    if (!this.#ring || start === undefined) return;
    const { arena } = this.#ring;
    arena.writeDoubleLE(this.now(), start);
    arena.writeUInt32LE(stored.lifetime, start + LIFETIME);
    arena.writeUInt16LE(this.#sources.indexOf(source), start + SOURCE);
    arena[start + RCODE] = stored.rcode;
    arena[start + FLAGS] =
      (stored.hasAnswers ? HAS_ANSWERS : 0) | (stored.hasAnswers && !stored.isProvisional ? MAY_BE_STALE : 0);
    arena.writeUInt16LE(ttlOffsets.length, start + TTL_COUNT);
    let at = start + TTLS;
    for (const offset of ttlOffsets) at = arena.writeUInt16LE(offset, at);
    arena.write(bytes, at, "latin1");
  }

  /** Forgets everything, or what is cached under keys with this end. @returns how many answers that was */
  forget(end: string | undefined): number {
    const before = this.size;
    if (end === undefined) this.#empty();
    else this.#ring?.deleteEndingWith(end);
    return before - this.size;
  }

  /** Seconds. */
  #ageAt({ arena }: RecordRing, start: number): number {
    return (this.now() - arena.readDoubleLE(start)) / 1000;
  }

  /** An expired answer that is negative or was provisional is of no use. */
  #isOver(ring: RecordRing, start: number): boolean {
    const left = ring.arena.readUInt32LE(start + LIFETIME) - this.#ageAt(ring, start);
    return left <= 0 && ((ring.arena[start + FLAGS]! & MAY_BE_STALE) === 0 || left < -staleAtMost);
  }

  #empty(): void {
    const ring: RecordRing | undefined =
      this.#limit > 0
        ? new RecordRing(Math.max(this.#limit, ringAtLeast), (start) => this.#isOver(ring!, start))
        : undefined;
    this.#ring = ring;
    this.#sources = new Sources();
  }
}

/** The upstreams whose answers are cached, each once. */
class Sources {
  readonly #all: UpstreamSource[] = [];
  readonly #indexes = new Map<string, number>();

  /** Whether the next index may not fit into 16 bits. So many upstreams come and go in years, if ever. */
  get isFull(): boolean {
    return this.#all.length > 0xffff;
  }

  at(index: number): UpstreamSource {
    return this.#all[index]!;
  }

  indexOf(source: UpstreamSource): number {
    const { upstream, transport } = source;
    const name = `${upstream.ip} ${upstream.port} ${upstream.from} ${transport}`;
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    this.#indexes.set(name, this.#all.length);
    return this.#all.push(source) - 1;
  }
}
