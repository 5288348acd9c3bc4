// Netlink attributes (`struct nlattr`): a length and a type of two bytes each in the machine's order, which is little-endian
// wherever pontoon runs, then the value, filled up to four bytes. Numbers inside nfnetlink values are big-endian.

const HEADER = 4;
const NLA_F_NESTED = 0x8000;
/** Without the flags for nesting and byte order. */
const TYPE_MASK = 0x3fff;

/** Writes attributes one behind the other into memory that grows as needed. */
export class AttributeWriter {
  #bytes: Buffer;
  #end = 0;

  /** @param size bytes to begin with */
  constructor(size = 4096) {
    this.#bytes = Buffer.from(new ArrayBuffer(size));
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#end;
  }

  /** What was written; valid until something else is. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#end);
  }

  /** Room for something that is not an attribute, zeroed. @returns where it begins */
  reserve(size: number): number {
    const start = this.#end;
    this.#room(size);
    this.#end += size;
    return start;
  }

  /** The memory itself, to write into what was reserved; another one after each further call. */
  get memory(): Buffer {
    return this.#bytes;
  }

  u8(type: number, value: number): void {
    const at = this.#value(type, 1);
    this.#bytes[at] = value;
  }

  u16(type: number, value: number): void {
    const at = this.#value(type, 2);
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
  }

  u32(type: number, value: number): void {
    this.#putU32(this.#value(type, 4), value);
  }

  u64(type: number, value: number): void {
    const at = this.#value(type, 8);
    this.#putU32(at, Math.floor(value / 2 ** 32));
    this.#putU32(at + 4, value % 2 ** 32);
  }

  /** With the zero byte at its end that the kernel expects. */
  text(type: number, value: string): void {
    const at = this.#value(type, Buffer.byteLength(value) + 1); // zeroed
    this.#bytes.write(value, at);
  }

  raw(type: number, value: Buffer): void {
    const at = this.#value(type, value.length);
    this.#bytes.set(value, at);
  }

  /** An attribute made of those that `write` writes. */
  nest(type: number, write: () => void): void {
    const start = this.reserve(HEADER);
    write();
    this.#putHeader(start, this.#end - start, type | NLA_F_NESTED);
  }

  /** @returns where the value goes; zeroed */
  #value(type: number, length: number): number {
    const start = this.reserve((HEADER + length + 3) & ~3);
    this.#putHeader(start, HEADER + length, type);
    return start + HEADER;
  }

  #putHeader(at: number, length: number, type: number): void {
    if (length > 0xffff) throw new RangeError(`a netlink attribute of ${length} bytes is too long`);
    this.#bytes[at] = length;
    this.#bytes[at + 1] = length >>> 8;
    this.#bytes[at + 2] = type;
    this.#bytes[at + 3] = type >>> 8;
  }

  // Plain stores: Buffer's own methods check what is known here, and a rule is some two hundred of them.
  #putU32(at: number, value: number): void {
    this.#bytes[at] = value >>> 24;
    this.#bytes[at + 1] = value >>> 16;
    this.#bytes[at + 2] = value >>> 8;
    this.#bytes[at + 3] = value;
  }

  #room(size: number): void {
    if (this.#end + size <= this.#bytes.length) return;
    const larger = Buffer.from(new ArrayBuffer(Math.max(this.#bytes.length * 2, this.#end + size)));
    this.#bytes.copy(larger, 0, 0, this.#end);
    this.#bytes = larger;
  }
}

/** Attributes by type; of several with one type the last counts, as in the kernel. */
export class Attributes {
  readonly #values = new Map<number, Buffer>();

  /** @param bytes attributes one behind the other; reading ends at the first that does not fit */
  constructor(bytes: Buffer) {
    for (const [type, value] of attributesIn(bytes)) this.#values.set(type, value);
  }

  has(type: number): boolean {
    return this.#values.has(type);
  }

  raw(type: number): Buffer | undefined {
    return this.#values.get(type);
  }

  /** Undefined also for a value of another size, which must be something else. */
  u8(type: number): number | undefined {
    return this.#sized(type, 1)?.readUInt8();
  }

  u16(type: number): number | undefined {
    return this.#sized(type, 2)?.readUInt16BE();
  }

  u32(type: number): number | undefined {
    return this.#sized(type, 4)?.readUInt32BE();
  }

  /** As precise as a number is: 53 bits. */
  u64(type: number): number | undefined {
    const value = this.#sized(type, 8);
    return value && value.readUInt32BE(0) * 2 ** 32 + value.readUInt32BE(4);
  }

  /** Up to its zero byte, one character for each byte: names may hold any. */
  text(type: number): string | undefined {
    const value = this.#values.get(type);
    if (!value) return undefined;
    const end = value.indexOf(0);
    return value.latin1Slice(0, end === -1 ? value.length : end);
  }

  nested(type: number): Attributes | undefined {
    const value = this.#values.get(type);
    return value && new Attributes(value);
  }

  /** The parts of a list, each an attribute of type `element`. */
  list(type: number, element: number): Buffer[] {
    const value = this.#values.get(type);
    if (!value) return [];
    const parts: Buffer[] = [];
    for (const [kind, part] of attributesIn(value)) if (kind === element) parts.push(part);
    return parts;
  }

  #sized(type: number, size: number): Buffer | undefined {
    const value = this.#values.get(type);
    return value?.length === size ? value : undefined;
  }
}

/** Attributes one behind the other, until one does not fit. */
export function* attributesIn(bytes: Buffer): Generator<readonly [type: number, value: Buffer]> {
  for (let at = 0; at + HEADER <= bytes.length;) {
    const length = bytes.readUInt16LE(at);
    if (length < HEADER || at + length > bytes.length) return;
    yield [bytes.readUInt16LE(at + 2) & TYPE_MASK, bytes.subarray(at + HEADER, at + length)];
    at += (length + 3) & ~3;
  }
}
