import { encodeIPv4, encodeIPv6, familyOf, isAddress, type Family } from "../../common/address.js";

/** Addresses of one family, both ends among them. */
export interface AddressRange {
  readonly family: Family;
  readonly first: Buffer;
  readonly last: Buffer;
}

/** The bytes of an address, by its family. Throws RangeError on what is not one. */
export function encodeAddress(ip: string): Buffer {
  if (!isAddress(ip)) throw new RangeError(`not an address: ${ip}`);
  return familyOf(ip) === "ipv6" ? encodeIPv6(ip) : encodeIPv4(ip);
}

/** The addresses of a CIDR (`10.1.0.0/24`, bits behind the prefix do not matter); of an address alone, just that. Throws RangeError. */
export function rangeOf(cidr: string): AddressRange {
  const [ip = "", prefix] = cidr.split("/");
  const bytes = encodeAddress(ip);
  const bits = bytes.length * 8;
  const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : NaN;
  if (!(length <= bits)) throw new RangeError(`not a subnet: ${cidr}`);
  const mask = (index: number) => (0xff00 >> Math.min(8, Math.max(0, length - index * 8))) & 0xff;
  return {
    family: familyOf(ip),
    first: Buffer.from(bytes.map((byte, index) => byte & mask(index))),
    last: Buffer.from(bytes.map((byte, index) => byte | (~mask(index) & 0xff))),
  };
}

export function isInside(ip: string, { family, first, last }: AddressRange): boolean {
  if (familyOf(ip) !== family) return false;
  const bytes = encodeAddress(ip);
  return Buffer.compare(first, bytes) <= 0 && Buffer.compare(bytes, last) <= 0;
}

/** Without those that lie in another, which the kernel would refuse; of equal ones the first stays. In order. */
export function withoutContained<Range extends AddressRange>(ranges: readonly Range[]): Range[] {
  const kept: Range[] = [];
  const ordered = [...ranges].sort((a, b) => Buffer.compare(a.first, b.first) || Buffer.compare(b.last, a.last));
  for (const range of ordered) {
    const before = kept.at(-1);
    if (!before || Buffer.compare(before.last, range.first) < 0) kept.push(range);
  }
  return kept;
}

/** The address behind; undefined behind the last of all. */
export function following(address: Buffer): Buffer | undefined {
  const bytes = Buffer.from(address);
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = (bytes[index]! + 1) & 0xff;
    if (bytes[index] !== 0) return bytes;
  }
  return undefined;
}
