import { isIPv4, isIPv6 } from "node:net";
import { AF_INET, AF_INET6, AF_UNIX } from "./constants.js";

export interface SocketAddress {
  /** In the usual text form; behind a link-local IPv6 address may stand the number of its interface, `fe80::1%3` (RFC 4007 section 11). */
  readonly ip: string;
  readonly port: number;
}

/** `struct sockaddr_in` or `sockaddr_in6`. */
export function encodeAddress({ ip, port }: SocketAddress): Buffer {
  if (isIPv4(ip)) {
    const raw = Buffer.alloc(16);
    raw.writeUInt16LE(AF_INET, 0);
    raw.writeUInt16BE(port, 2);
    encodeIPv4(ip).copy(raw, 4);
    return raw;
  }
  const raw = Buffer.alloc(28);
  raw.writeUInt16LE(AF_INET6, 0);
  raw.writeUInt16BE(port, 2);
  encodeIPv6(ip).copy(raw, 8);
  const zone = Number(ip.split("%")[1] ?? 0);
  if (Number.isInteger(zone)) raw.writeUInt32LE(zone, 24); // a name means nothing to the kernel
  return raw;
}

/** Reads a `sockaddr_in` or `sockaddr_in6` at an offset; anything else is an empty address. */
export function decodeAddress(raw: Buffer, offset: number): SocketAddress {
  const family = raw.readUInt16LE(offset);
  const port = raw.readUInt16BE(offset + 2);
  if (family === AF_INET) return { ip: decodeIPv4(raw, offset + 4), port };
  if (family === AF_INET6) return { ip: decodeIPv6(raw, offset + 8), port };
  return { ip: "", port: 0 };
}

/** `struct sockaddr_un`; the kernel takes 107 bytes of path at most. A name that begins with a zero byte is abstract (unix(7)). */
export function encodeUnixAddress(path: string): Buffer {
  const bytes = Buffer.from(path);
  if (bytes.length > 107) throw new RangeError(`the path of a unix socket has at most 107 bytes: ${path}`);
  const isAbstract = bytes[0] === 0; // then every byte counts, a last zero too
  const raw = Buffer.alloc(2 + bytes.length + (isAbstract ? 0 : 1));
  raw.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(raw, 2);
  return raw;
}

/** Four bytes of an IPv4 address in text form. */
export function encodeIPv4(ip: string): Buffer {
  return Buffer.from(ip.split(".").map(Number));
}

export function decodeIPv4(raw: Buffer, offset: number): string {
  return `${raw[offset]}.${raw[offset + 1]}.${raw[offset + 2]}.${raw[offset + 3]}`;
}

/** Sixteen bytes of an IPv6 address in any text form (RFC 4291 section 2.2). Throws a RangeError on anything else. */
export function encodeIPv6(ip: string): Buffer {
  const text = ip.split("%")[0] ?? "";
  if (!isIPv6(text)) throw new RangeError(`not an IPv6 address: ${ip}`);
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const plain = dotted ? dotted[1]! + groupsOfIPv4(dotted[2]!) : text;
  const [head = "", tail] = plain.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const raw = Buffer.alloc(16);
  before.forEach((group, index) => raw.writeUInt16BE(parseInt(group, 16), index * 2));
  after.forEach((group, index) => raw.writeUInt16BE(parseInt(group, 16), 16 - (after.length - index) * 2));
  return raw;
}

/** The canonical text form of RFC 5952. */
export function decodeIPv6(raw: Buffer, offset: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => raw.readUInt16BE(offset + index * 2));
  const run = longestZeroRun(groups);
  const text = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  if (run.length < 2) return text(groups);
  return `${text(groups.slice(0, run.start))}::${text(groups.slice(run.start + run.length))}`;
}

function groupsOfIPv4(ip: string): string {
  const [a, b, c, d] = ip.split(".").map(Number) as [number, number, number, number];
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

function longestZeroRun(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
