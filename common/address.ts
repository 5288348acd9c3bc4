// IP addresses as text and as bytes, and what is asked of them. What is an address at all is for Node to say: its parser takes
// neither octal nor short forms. ipaddr.js takes both, and `::1.2.3.4` for `::ffff:1.2.3.4`; network/addresses, which reckons with
// subnets, gives it only what has passed here. The servers and the command do without it: docs/decisions.md tells why.
import { isIP, isIPv6 } from "node:net";

export type Family = "ipv4" | "ipv6";

export interface SocketAddress {
  /** In the usual text form; behind a link-local IPv6 address may stand the number of its interface, `fe80::1%3` (RFC 4007 section 11). */
  readonly ip: string;
  readonly port: number;
}

/** How many bits an address of a family has. */
export const addressBits: Readonly<Record<Family, number>> = { ipv4: 32, ipv6: 128 };

/** What stands for all addresses of a family. */
export const unspecified: Readonly<Record<Family, string>> = { ipv4: "0.0.0.0", ipv6: "::" };

/** Whether a text is an IP address, without a zone. */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0 && !text.includes("%");
}

/** @param ip an address, which is not looked at again */
export function familyOf(ip: string): Family {
  return ip.includes(":") ? "ipv6" : "ipv4";
}

export function isUnspecified(ip: string): boolean {
  return ip === unspecified.ipv4 || ip === unspecified.ipv6;
}

export function isLoopback(ip: string): boolean {
  return ip.startsWith("127.") || ip === "::1";
}

/** Whether what is sent there stays in the sender's namespace: the unspecified address leads to the loopback one. */
export function leadsToLoopback(ip: string): boolean {
  return isLoopback(ip) || isUnspecified(ip);
}

/** Whether two addresses cannot be bound to one port. */
export function overlap(one: string, other: string): boolean {
  return familyOf(one) === familyOf(other) && (one === other || isUnspecified(one) || isUnspecified(other));
}

/** `192.0.2.1:80`, `[2001:db8::1]:80` (RFC 3986 section 3.2.2). */
export function formatAddress({ ip, port }: SocketAddress): string {
  return `${bracketed(ip)}:${port}`;
}

/** An IPv6 address in brackets, an IPv4 address as it is. */
export function bracketed(ip: string): string {
  return familyOf(ip) === "ipv6" ? `[${ip}]` : ip;
}

/** An address in its {@link canonicalForm}; undefined for what is not an address, or has a zone. */
export function canonicalAddress(text: string): string | undefined {
  return isAddress(text) ? canonicalForm(text) : undefined;
}

/** The one form in which an address is compared: IPv4 mapped into IPv6 is IPv4, as for Docker. A zone stays as it is. */
export function canonicalForm(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const raw = encodeIPv6(ip);
  if (isMapped(raw)) return decodeIPv4(raw, 12);
  const [, zone] = ip.split("%");
  return decodeIPv6(raw, 0) + (zone === undefined ? "" : `%${zone}`);
}

/** `192.0.2.1` for `::ffff:192.0.2.1`, in any spelling (RFC 4291 section 2.5.5.2); other addresses as they are. */
export function unmapped(ip: string): string {
  if (!/ffff:/i.test(ip)) return ip; // asked for every client
  const raw = encodeIPv6(ip);
  return isMapped(raw) ? decodeIPv4(raw, 12) : ip;
}

/** The first bits of an address, as `10.0.0.0/8` has them (RFC 4632 section 3.1, RFC 4291 section 2.3). */
export interface Prefix {
  /** As it was written; bits behind the prefix may be set. */
  readonly ip: string;
  readonly family: Family;
  /** In bits. */
  readonly length: number;
}

/** @returns undefined for what is not `ADDRESS/BITS`; an address alone is a prefix with all of its bits */
export function parsePrefix(text: string): Prefix | undefined {
  const [ip = "", digits, ...rest] = text.split("/");
  if (!isAddress(ip) || rest.length > 0) return undefined;
  const family = familyOf(ip);
  if (digits === undefined) return { ip, family, length: addressBits[family] };
  const length = /^\d{1,3}$/.test(digits) ? Number(digits) : Infinity;
  return length <= addressBits[family] ? { ip, family, length } : undefined;
}

/** Four or sixteen bytes of an address in text form. */
export function encodeIP(ip: string): Buffer {
  return familyOf(ip) === "ipv4" ? encodeIPv4(ip) : encodeIPv6(ip);
}

/** The canonical text form of an address of four or sixteen bytes. */
export function decodeIP(raw: Buffer): string {
  return raw.length === 4 ? decodeIPv4(raw, 0) : decodeIPv6(raw, 0);
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

function isMapped(raw: Buffer): boolean {
  return raw.readUInt16BE(10) === 0xffff && raw.subarray(0, 10).every((byte) => byte === 0);
}
