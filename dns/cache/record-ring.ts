import { SipHash } from "./siphash.js";

// A record: its size (4 bytes), the hashes of its key and owner (4 each), the key's length (2), flags (1), the key, the payload.
const HASH = 4;
const OWNER = 8;
const KEY_LENGTH = 12;
const FLAGS = 14;
const HEADER = 15;

/** Has been asked for since it was written. */
const USED = 1;
/** Replaced or deleted; its bytes are free when their turn comes. */
const DEAD = 2;

/** Bytes of memory for each slot of the index: one slot for so many bytes leaves records of usual size room to spread. */
const bytesPerSlot = 64;
/** How many records may be moved to make room for one. */
const moveAtMost = 32;
const none = -1;

/** Records that had to make room and are worth keeping, and how many more may be moved. */
interface Moving {
  readonly records: Buffer[];
  recordsLeft: number;
  bytesLeft: number;
}

/**
 * Records by key in a piece of memory of fixed size, outside the garbage-collected heap. New ones are written where the
 * oldest stood; an old one is moved instead of lost if it was asked for since it was written there, or if its owner has
 * less than an equal share. So an owner who puts a flood of records drives out its own.
 *
 * Keys are strings of single bytes. Offsets are good until the next `put`.
 */
export class RecordRing {
  readonly arena: Buffer;
  readonly #slots: Int32Array;
  readonly #hash = new SipHash();
  readonly #mostRecords: number;
  #write = 0;
  #oldest = 0;
  /** Where the records of the lap before end, while the newest stand in front of the oldest. */
  #end = none;
  #size = 0;
  #bytes = 0;
  /** By the owner's hash. */
  readonly #bytesOf = new Map<number, number>();

  /**
   * @param bytes for records and index together, at least 1,024
   * @param isOver told where a payload begins: whether nobody needs it any more
   */
  constructor(
    bytes: number,
    private readonly isOver: (start: number) => boolean = () => false,
  ) {
    const slots = 2 ** Math.floor(Math.log2(bytes / bytesPerSlot));
    this.#slots = new Int32Array(slots).fill(none);
    this.#mostRecords = Math.floor(slots * 0.75);
    this.arena = Buffer.alloc(bytes - this.#slots.byteLength);
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes of the records that can be found. */
  get bytes(): number {
    return this.#bytes;
  }

  /** @returns where the payload begins and ends, undefined when there is none; it counts as used */
  get(key: string): { readonly start: number; readonly end: number } | undefined {
    const slot = this.#slotOf(key, this.#hash.of(key));
    const at = this.#slots[slot]!;
    if (at === none) return undefined;
    this.arena[at + FLAGS]! |= USED;
    return { start: at + HEADER + key.length, end: at + this.#sizeAt(at) };
  }

  /**
   * Makes a record in place of any of the same key; what is in its payload is the caller's matter.
   * @returns where the payload begins; undefined when it is too large to be kept
   */
  put(key: string, payloadLength: number, owner = ""): number | undefined {
    this.delete(key);
    const size = HEADER + key.length + payloadLength;
    if (size > this.arena.length / 4) return undefined;
    const moving: Moving = { records: [], recordsLeft: moveAtMost, bytesLeft: this.arena.length / 4 };
    this.#makeRoom(size, moving);
    const at = this.#write;
    this.arena.writeUInt32LE(size, at);
    this.arena.writeUInt32LE(this.#hash.of(key), at + HASH);
    this.arena.writeUInt32LE(this.#hash.of(owner), at + OWNER);
    this.arena.writeUInt16LE(key.length, at + KEY_LENGTH);
    this.arena[at + FLAGS] = 0;
    this.arena.write(key, at + HEADER, "latin1");
    this.#add(at, size);
    // The list grows during this loop: a record that is moved may take the place of another that is worth keeping.
    for (const record of moving.records) this.#writeAgain(record, moving);
    return at + HEADER + key.length;
  }

  delete(key: string): void {
    const slot = this.#slotOf(key, this.#hash.of(key));
    if (this.#slots[slot] !== none) this.#remove(slot);
  }

  /** Deletes every record whose key has this end. */
  deleteEndingWith(end: string): void {
    const keys: string[] = [];
    const wanted = Buffer.from(end, "latin1");
    for (const at of this.#slots) {
      if (at === none || this.#keyLengthAt(at) < wanted.length) continue;
      const keyEnd = at + HEADER + this.#keyLengthAt(at);
      if (this.arena.compare(wanted, 0, wanted.length, keyEnd - wanted.length, keyEnd) === 0)
        keys.push(this.#keyAt(at));
    }
    for (const key of keys) this.delete(key);
  }

  #writeAgain(record: Buffer, moving: Moving): void {
    this.#makeRoom(record.length, moving);
    record.copy(this.arena, this.#write);
    this.#add(this.#write, record.length);
  }

  #add(at: number, size: number): void {
    this.#slots[this.#slotOf(this.#keyAt(at), this.#hashAt(at))] = at;
    this.#write = at + size;
    this.#size++;
    this.#bytes += size;
    this.#count(this.#ownerAt(at), size);
  }

  #count(owner: number, bytes: number): void {
    const sum = (this.#bytesOf.get(owner) ?? 0) + bytes;
    if (sum > 0) this.#bytesOf.set(owner, sum);
    else this.#bytesOf.delete(owner);
  }

  /** Frees `size` bytes in one piece at the place to write to. */
  #makeRoom(size: number, moving: Moving): void {
    while (!this.#hasRoom(size)) this.#takeOldest(moving);
  }

  /** Begins a new lap when the rest of this one is too short. */
  #hasRoom(size: number): boolean {
    if (this.#size === 0 && this.#end === none) this.#write = this.#oldest = 0; // nothing but dead records, if any
    if (this.#end === none && this.#write + size > this.arena.length) {
      this.#end = this.#write;
      this.#write = 0;
    }
    if (this.#size >= this.#mostRecords) return false;
    return this.#end === none || this.#oldest - this.#write >= size;
  }

  #takeOldest(moving: Moving): void {
    const at = this.#oldest;
    const size = this.#sizeAt(at);
    if ((this.arena[at + FLAGS]! & DEAD) === 0) {
      const isKept = moving.recordsLeft > 0 && size <= moving.bytesLeft && this.#isWorthKeeping(at);
      this.#remove(this.#slotOf(this.#keyAt(at), this.#hashAt(at)));
      if (isKept) this.#move(at, size, moving);
    }
    this.#oldest += size;
    if (this.#oldest !== this.#end) return;
    this.#oldest = 0;
    this.#end = none;
  }

  #isWorthKeeping(at: number): boolean {
    if (this.isOver(at + HEADER + this.#keyLengthAt(at))) return false;
    // One share more than there are owners: when there is no room, somebody has more than a share.
    const share = this.arena.length / (this.#bytesOf.size + 1);
    return (this.arena[at + FLAGS]! & USED) !== 0 || this.#bytesOf.get(this.#ownerAt(at))! < share;
  }

  #move(at: number, size: number, moving: Moving): void {
    const copy = Buffer.from(this.arena.subarray(at, at + size));
    copy[FLAGS] = 0;
    moving.records.push(copy);
    moving.recordsLeft--;
    moving.bytesLeft -= size;
  }

  /** The key's slot, or the free one where it would stand. */
  #slotOf(key: string, hash: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const at = this.#slots[slot]!;
      if (at === none || (this.#hashAt(at) === hash && this.#isKeyAt(at, key))) return slot;
    }
  }

  /** Frees a slot. Records behind it that found it taken move up, so that each is still found. */
  #remove(slot: number): void {
    const at = this.#slots[slot]!;
    this.arena[at + FLAGS]! |= DEAD;
    this.#size--;
    this.#bytes -= this.#sizeAt(at);
    this.#count(this.#ownerAt(at), -this.#sizeAt(at));
    const mask = this.#slots.length - 1;
    let free = slot;
    for (let next = (slot + 1) & mask; this.#slots[next] !== none; next = (next + 1) & mask) {
      const home = this.#hashAt(this.#slots[next]!) & mask;
      if (((next - home) & mask) < ((next - free) & mask)) continue;
      this.#slots[free] = this.#slots[next]!;
      free = next;
    }
    this.#slots[free] = none;
  }

  #sizeAt(at: number): number {
    return this.arena.readUInt32LE(at);
  }

  #hashAt(at: number): number {
    return this.arena.readUInt32LE(at + HASH);
  }

  #ownerAt(at: number): number {
    return this.arena.readUInt32LE(at + OWNER);
  }

  #keyLengthAt(at: number): number {
    return this.arena.readUInt16LE(at + KEY_LENGTH);
  }

  #keyAt(at: number): string {
    return this.arena.toString("latin1", at + HEADER, at + HEADER + this.#keyLengthAt(at));
  }

  #isKeyAt(at: number, key: string): boolean {
    if (this.#keyLengthAt(at) !== key.length) return false;
    for (let index = 0; index < key.length; index++)
      if (this.arena[at + HEADER + index] !== key.charCodeAt(index)) return false;
    return true;
  }
}
