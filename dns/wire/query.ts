import { foldCase, type NameKey } from "./name.js";

/** Response codes of RFC 1035 section 4.1.1 and RFC 6891. */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];

/** Record types this server makes or tells apart. */
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  HTTPS: 65,
  ANY: 255,
} as const;
/** Names of containers are in the Internet's class, which any includes. Questions in other classes are for the upstreams. */
export const CLASS = { IN: 1, ANY: 255 } as const;

/** Bits of the two flag bytes (RFC 1035 section 4.1.1, RFC 4035 section 3.2). */
export const FLAG = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080, AD: 0x0020, CD: 0x0010 } as const;
export const HEADER_SIZE = 12;
/** Option code of a client's subnet (RFC 7871 section 6). */
export const CLIENT_SUBNET = 8;
/** Largest query that is looked at, bytes. */
export const QUERY_LIMIT = 4096;

/** A query that has been looked at: a question to answer, a refusal to send, or nothing to say at all. */
export type Query = Question | Refusal | { readonly kind: "ignore" };

export interface Question {
  readonly kind: "question";
  readonly key: NameKey;
  readonly type: number;
  readonly class: number;
  readonly flags: number;
  /** Offset just past the question section. */
  readonly end: number;
  /** The client's EDNS (RFC 6891); undefined when it sent none. */
  readonly edns: Edns | undefined;
}

export interface Edns {
  /** Largest UDP reply the client takes, bytes, as it said. */
  readonly size: number;
  /** The DO bit, copied into replies (RFC 3225 section 3). */
  readonly dnssecOk: boolean;
  /** Data of the client's subnet option (RFC 7871), a latin1 string; "" without one. */
  readonly clientSubnet: string;
}

export interface Refusal {
  readonly kind: "refusal";
  readonly rcode: Rcode;
  /** Offset just past a question that could be read, else the header's end. */
  readonly end: number;
  readonly hasEdns: boolean;
}

/**
 * Reads a query from the bytes, the header first. Bytes are hostile: every offset is checked, names in questions are
 * not compressed, nothing is decoded. Never throws.
 * @param start where the message begins in `bytes`
 * @param length of the message, bytes
 */
export function readQuery(bytes: Buffer, start: number, length: number): Query {
  if (length < HEADER_SIZE) return { kind: "ignore" };
  const flags = bytes.readUInt16BE(start + 2);
  if (flags & FLAG.QR) return { kind: "ignore" };
  const refuse = (rcode: Rcode, end = HEADER_SIZE, hasEdns = false): Refusal => ({
    kind: "refusal",
    rcode,
    end,
    hasEdns,
  });
  if (length > QUERY_LIMIT) return refuse(RCODE.REFUSED);
  if ((flags >> 11) & 15) return refuse(RCODE.NOTIMP);
  if (bytes.readUInt16BE(start + 4) !== 1) return refuse(RCODE.FORMERR);
  const nameEnd = endOfPlainName(bytes, start + HEADER_SIZE, start + length);
  if (nameEnd === undefined || nameEnd + 4 > start + length) return refuse(RCODE.FORMERR);
  const end = nameEnd + 4 - start;
  const extra = readExtraRecords(bytes, start, length, end);
  if (extra === "malformed") return refuse(RCODE.FORMERR, end);
  if (extra && extra.version !== 0) return refuse(RCODE.BADVERS, end, true);
  const type = bytes.readUInt16BE(nameEnd);
  const dnsClass = bytes.readUInt16BE(nameEnd + 2);
  const key = foldCase(bytes.latin1Slice(start + HEADER_SIZE, nameEnd - 1));
  return { kind: "question", key, type, class: dnsClass, flags, end, edns: extra };
}

export function isInternet({ class: dnsClass }: Question): boolean {
  return dnsClass === CLASS.IN || dnsClass === CLASS.ANY;
}

/** Offset past a name that may not be compressed; undefined when it is malformed or longer than 255 bytes. */
export function endOfPlainName(bytes: Buffer, at: number, limit: number): number | undefined {
  const first = at;
  while (at < limit) {
    const length = bytes[at]!;
    if (length > 63) return undefined;
    at += 1 + length;
    if (at - first > 255) return undefined;
    if (length === 0) return at;
  }
  return undefined;
}

/** Walks the records behind the question for the one OPT there may be. Their number is bounded by the message's length. */
function readExtraRecords(
  bytes: Buffer,
  start: number,
  length: number,
  end: number,
): (Edns & { version: number }) | "malformed" | undefined {
  const limit = start + length;
  const others = bytes.readUInt16BE(start + 6) + bytes.readUInt16BE(start + 8);
  const count = others + bytes.readUInt16BE(start + 10);
  let at = start + end;
  let found: (Edns & { version: number }) | undefined;
  for (let index = 0; index < count; index++) {
    const nameEnd = endOfName(bytes, at, limit);
    if (nameEnd === undefined || nameEnd + 10 > limit) return "malformed";
    const type = bytes.readUInt16BE(nameEnd);
    if (type === TYPE.OPT) {
      if (found || index < others || nameEnd !== at + 1) return "malformed"; // RFC 6891 section 6.1.1
      found = {
        size: bytes.readUInt16BE(nameEnd + 2),
        version: bytes[nameEnd + 5]!,
        dnssecOk: (bytes[nameEnd + 6]! & 0x80) !== 0,
        clientSubnet: "",
      };
    }
    const dataAt = nameEnd + 10;
    at = dataAt + bytes.readUInt16BE(nameEnd + 8);
    if (at > limit) return "malformed";
    if (type === TYPE.OPT && found && at > dataAt)
      found = { ...found, clientSubnet: readClientSubnet(bytes, dataAt, at) };
  }
  return found;
}

/** The data of the first subnet option among others, "" when there is none, or none of a size it can have. */
function readClientSubnet(bytes: Buffer, at: number, end: number): string {
  while (at + 4 <= end) {
    const code = bytes.readUInt16BE(at);
    const length = bytes.readUInt16BE(at + 2);
    at += 4;
    if (at + length > end) return "";
    if (code === CLIENT_SUBNET) return length >= 4 && length <= 20 ? bytes.latin1Slice(at, at + length) : "";
    at += length;
  }
  return "";
}

/** Offset past a name that may end in a compression pointer; the pointer is not followed. */
export function endOfName(bytes: Buffer, at: number, limit: number): number | undefined {
  while (at < limit) {
    const length = bytes[at]!;
    if (length >= 0xc0) return at + 2 <= limit ? at + 2 : undefined;
    if (length > 63) return undefined;
    at += 1 + length;
    if (length === 0) return at;
  }
  return undefined;
}
