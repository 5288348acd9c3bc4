import { isIPv4 } from "node:net";
import { decodeIPv4, decodeIPv6, encodeIPv4, encodeIPv6, type SocketAddress } from "../common/address.js";
import { AF_INET, AF_INET6, AF_UNIX } from "./constants.js";

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
