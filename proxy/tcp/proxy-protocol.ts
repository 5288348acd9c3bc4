// The PROXY protocol, versions 1 and 2, as HAProxy's proxy-protocol.txt describes it. Pure.
import { isIPv4, isIPv6 } from "node:net";
import { decodeIPv4, decodeIPv6, encodeIPv4, encodeIPv6, unmapped, type SocketAddress } from "../../common/address.js";

/** The two ends of a client's connection, as a header tells them. */
export interface Ends {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
}

export type HeaderResult =
  | { readonly kind: "incomplete" }
  | { readonly kind: "invalid"; readonly reason: string }
  /** `ends` is undefined when the sender speaks for itself (LOCAL) or does not say (UNKNOWN). `length`: bytes of the header. */
  | { readonly kind: "header"; readonly ends: Ends | undefined; readonly length: number };

/** A header of version 1 has at most so many bytes, its CRLF included. */
const V1_AT_MOST = 107;
/** Bytes of additional fields (TLVs) that are skipped in version 2; a header with more is refused. */
const V2_AT_MOST = 4096;
/** Bytes of the longest valid header. */
export const HEADER_AT_MOST = 16 + V2_AT_MOST;

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const v1Start = Buffer.from("PROXY ", "latin1");

export function encodeHeader(version: "v1" | "v2", { source, destination }: Ends): Buffer {
  const ends = {
    source: { ...source, ip: unmapped(source.ip) },
    destination: { ...destination, ip: unmapped(destination.ip) },
  };
  return version === "v1" ? encodeV1(ends) : encodeV2(ends);
}

/** Reads a header at the beginning of what a trusted source sent. */
export function readHeader(bytes: Buffer): HeaderResult {
  if (startsLike(bytes, signature)) return bytes.length < 16 ? incomplete : readV2(bytes);
  if (startsLike(bytes, v1Start)) return readV1(bytes);
  return invalid("it does not begin with a PROXY protocol header");
}

const incomplete: HeaderResult = { kind: "incomplete" };
const invalid = (reason: string): HeaderResult => ({ kind: "invalid", reason });

function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function encodeV1({ source, destination }: Ends): Buffer {
  const family =
    isIPv4(source.ip) && isIPv4(destination.ip)
      ? "TCP4"
      : isIPv6(source.ip) && isIPv6(destination.ip)
        ? "TCP6"
        : undefined;
  if (family === undefined) return Buffer.from("PROXY UNKNOWN\r\n", "latin1");
  return Buffer.from(`PROXY ${family} ${source.ip} ${destination.ip} ${source.port} ${destination.port}\r\n`, "latin1");
}

function encodeV2({ source, destination }: Ends): Buffer {
  const isV4 = isIPv4(source.ip) && isIPv4(destination.ip);
  const isV6 = isIPv6(source.ip) && isIPv6(destination.ip);
  if (!isV4 && !isV6) return Buffer.concat([signature, Buffer.of(0x21, 0x00, 0, 0)]);
  const encode = isV4 ? encodeIPv4 : encodeIPv6;
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination.port, 2);
  const body = Buffer.concat([encode(source.ip), encode(destination.ip), ports]);
  return Buffer.concat([signature, Buffer.of(0x21, isV4 ? 0x11 : 0x21, 0, body.length), body]);
}

function readV1(bytes: Buffer): HeaderResult {
  const end = bytes.subarray(0, V1_AT_MOST).indexOf("\r\n", 0, "latin1");
  if (end < 0) return bytes.length >= V1_AT_MOST ? invalid("its first line is too long") : incomplete;
  const length = end + 2;
  const [, family = "", source = "", destination = "", sourcePort = "", destinationPort = "", ...rest] = bytes
    .toString("latin1", 0, end)
    .split(" ");
  if (family === "UNKNOWN") return { kind: "header", ends: undefined, length };
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isIPv6 : undefined;
  if (!isAddress) return invalid("it names an unknown family");
  if (
    rest.length > 0 ||
    !isAddress(source) ||
    !isAddress(destination) ||
    source.includes("%") ||
    destination.includes("%")
  )
    return invalid("its addresses cannot be read");
  const ports = [readPort(sourcePort), readPort(destinationPort)];
  if (ports[0] === undefined || ports[1] === undefined) return invalid("its ports cannot be read");
  return {
    kind: "header",
    ends: { source: { ip: source, port: ports[0] }, destination: { ip: destination, port: ports[1] } },
    length,
  };
}

function readPort(text: string): number | undefined {
  if (!/^(0|[1-9]\d{0,4})$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65535 ? port : undefined;
}

function readV2(bytes: Buffer): HeaderResult {
  const version = bytes[12]! >> 4;
  const command = bytes[12]! & 15;
  if (version !== 2 || command > 1) return invalid("its version or command is unknown");
  const bodyLength = bytes.readUInt16BE(14);
  const length = 16 + bodyLength;
  if (bodyLength > V2_AT_MOST) return invalid("it is too long");
  const family = bytes[13]!;
  const size = family === 0x11 ? 4 : family === 0x21 ? 16 : 0;
  if (command === 1 && size > 0 && bodyLength < 2 * size + 4) return invalid("its addresses are cut off");
  if (bytes.length < length) return incomplete;
  // Address families without a meaning for TCP are skipped (section 2.2), as are the addresses of LOCAL.
  if (command === 0 || size === 0) return { kind: "header", ends: undefined, length };
  const decode = size === 4 ? decodeIPv4 : decodeIPv6;
  const ports = 16 + 2 * size;
  const source = { ip: decode(bytes, 16), port: bytes.readUInt16BE(ports) };
  const destination = { ip: decode(bytes, 16 + size), port: bytes.readUInt16BE(ports + 2) };
  return { kind: "header", ends: { source, destination }, length };
}
