import type { NameKey } from "./name.js";
import { CLASS, CLIENT_SUBNET, FLAG, HEADER_SIZE, RCODE, TYPE } from "./query.js";
import type { AnswerRecord } from "./records.js";
import { recordsIn, type RecordOffsets } from "./record-offsets.js";

/**
 * An upstream's reply as it is cached: without its OPT record, which is between it and us, and with what is needed to
 * give it out again. Bytes in a latin1 string: a small string costs less memory than a small buffer.
 */
export interface StoredReply {
  readonly bytes: string;
  /** Offsets of the TTLs to count down. */
  readonly ttlOffsets: readonly number[];
  readonly rcode: number;
  /** Seconds it may be cached (RFC 1035 section 3.2.1, RFC 2308 section 5); 0 for not at all. */
  readonly lifetime: number;
  readonly hasAnswers: boolean;
  /** Given past a server with precedence: not to be used beyond its lifetime, whatever happens. */
  readonly isProvisional?: boolean;
}

/** Nothing is cached for longer, seconds. */
const positiveAtMost = 86_400;
const negativeAtMost = 3600;

/**
 * Reads a reply that has passed the reply check: the records are walked by their headers, names are only seen to come to an end.
 * @param end offset just past the question
 * @returns undefined when the records do not fit into the message, have names without end, or an OPT record stands where none may
 */
export function storeReply(reply: Buffer, end: number): StoredReply | undefined {
  const records = reply.length < end ? undefined : recordsIn(reply, end);
  if (!records) return undefined;
  const cut = withoutOpt(reply, end, records);
  if (!cut) return undefined;
  const { message, kept } = cut;
  const rcode = message[3]! & 15;
  const hasAnswers = message.readUInt16BE(6) > 0;
  return {
    bytes: message.toString("latin1"),
    ttlOffsets: kept.map(({ ttlAt }) => ttlAt),
    rcode,
    hasAnswers,
    lifetime: isComplete(message, rcode) ? lifetimeOf(message, kept, hasAnswers, rcode) : 0,
  };
}

/** A reply with TC set: as much of it as can be read. Not to be cached. */
export function storeTruncated(reply: Buffer, end: number): StoredReply {
  const stored = storeReply(reply, end);
  if (stored) return stored;
  const message = Buffer.from(reply.subarray(0, end));
  message.fill(0, 6, HEADER_SIZE);
  return { bytes: message.toString("latin1"), ttlOffsets: [], rcode: message[3]! & 15, hasAnswers: false, lifetime: 0 };
}

/** The addresses in the answer section, whatever names they stand under: for an answer given under another name. */
export function addressesIn(stored: StoredReply, end: number, type: number, age: number): AnswerRecord[] {
  const message = Buffer.from(stored.bytes, "latin1");
  const records = recordsIn(message, end) ?? [];
  return records
    .filter(
      (place) => place.section === "answer" && place.type === type && place.dataLength === (type === TYPE.A ? 4 : 16),
    )
    .map(({ ttlAt, dataLength }) => ({
      owner: undefined,
      type,
      ttl: Math.max(0, message.readUInt32BE(ttlAt) - age),
      data: message.subarray(ttlAt + 6, ttlAt + 6 + dataLength),
    }));
}

/**
 * Cuts the message before its OPT record, or behind its last one: what is appended later must not stand behind bytes
 * that no record owns. Records behind the OPT record go with it; they are extras, and nothing before refers to them.
 */
function withoutOpt(
  reply: Buffer,
  end: number,
  records: readonly RecordOffsets[],
): { message: Buffer; kept: readonly RecordOffsets[] } | undefined {
  const optIndex = records.findIndex(({ type }) => type === TYPE.OPT);
  if (optIndex >= 0 && records[optIndex]!.section !== "additional") return undefined;
  const kept = optIndex < 0 ? records : records.slice(0, optIndex);
  const last = kept.at(-1);
  const message = Buffer.from(reply.subarray(0, last ? last.ttlAt + 6 + last.dataLength : end));
  message.writeUInt16BE(kept.filter(({ section }) => section === "additional").length, 10);
  return { message, kept };
}

function isComplete(message: Buffer, rcode: number): boolean {
  return (message.readUInt16BE(2) & FLAG.TC) === 0 && (rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN);
}

/**
 * Positive: the smallest TTL of the answer. Negative: what the zone's SOA says; without one it is not cached. An alias
 * whose target does not exist, or has nothing of the type, is both: the SOA stands beside the alias.
 */
function lifetimeOf(message: Buffer, records: readonly RecordOffsets[], hasAnswers: boolean, rcode: number): number {
  const ttlOf = ({ ttlAt }: RecordOffsets) => saneTtl(message.readUInt32BE(ttlAt));
  const answers = records.filter(({ section }) => section === "answer");
  const positive = Math.min(positiveAtMost, ...answers.map(ttlOf));
  const soa = records.find(
    ({ section, type, dataLength }) => section === "authority" && type === TYPE.SOA && dataLength >= 22,
  );
  if (!soa) return hasAnswers && rcode === RCODE.NOERROR ? positive : 0;
  const minimum = saneTtl(message.readUInt32BE(soa.ttlAt + 6 + soa.dataLength - 4));
  return Math.min(negativeAtMost, positive, ttlOf(soa), minimum);
}

/** A TTL with its highest bit set counts as zero (RFC 2181 section 8). */
function saneTtl(ttl: number): number {
  return ttl >= 0x80000000 ? 0 : ttl;
}

/** Header bits of a question that are the client's to set, and are passed on: RD, AD (RFC 6840 section 5.7), CD. */
export const PASSED_ON = FLAG.RD | FLAG.AD | FLAG.CD;
/** Bytes of the fixed part of an OPT record (RFC 6891 section 6.1.2). */
const optSize = 11;

/** What a query of our own asks, and how. */
export interface QueryContent {
  readonly key: NameKey;
  readonly type: number;
  /** As in the question, but IN for any. */
  readonly class: number;
  /** Of {@link PASSED_ON}. */
  readonly flags: number;
  readonly dnssecOk: boolean;
  /** Data of the client's subnet option (RFC 7871), a latin1 string; "" for none. */
  readonly clientSubnet: string;
}

/** A query of our own for a name: a fresh header, one question, EDNS with a payload that fits into one packet. */
export function buildQuery({ key, type, class: dnsClass, flags, dnssecOk, clientSubnet }: QueryContent): {
  query: Buffer;
  questionEnd: number;
} {
  const questionEnd = HEADER_SIZE + key.length + 1 + 4;
  const options = clientSubnet.length > 0 ? 4 + clientSubnet.length : 0;
  const query = Buffer.alloc(questionEnd + optSize + options);
  query.writeUInt16BE(flags & PASSED_ON, 2);
  query.writeUInt16BE(1, 4);
  query.writeUInt16BE(1, 10);
  query.write(key, HEADER_SIZE, "latin1");
  query.writeUInt16BE(type, questionEnd - 4);
  query.writeUInt16BE(dnsClass, questionEnd - 2);
  writeOptRecord(query, questionEnd, usualSize, dnssecOk);
  if (options === 0) return { query, questionEnd };
  query.writeUInt16BE(options, questionEnd + optSize - 2);
  query.writeUInt16BE(CLIENT_SUBNET, questionEnd + optSize);
  query.writeUInt16BE(clientSubnet.length, questionEnd + optSize + 2);
  query.write(clientSubnet, questionEnd + optSize + 4, "latin1");
  return { query, questionEnd };
}

/** The simplest query there is for a name. */
export function plainQuery(key: NameKey, type: number): { message: Buffer; end: number } {
  const { query, questionEnd } = buildQuery({
    key,
    type,
    class: CLASS.IN,
    flags: FLAG.RD,
    dnssecOk: false,
    clientSubnet: "",
  });
  return { message: withoutEdns(query, questionEnd), end: questionEnd };
}

/** Largest UDP reply that is asked for at first: it fits into one packet on almost any way (DNS Flag Day 2020). */
export const usualSize = 1232;

/** The same query without EDNS. */
export function withoutEdns(query: Buffer, questionEnd: number): Buffer {
  const plain = Buffer.from(query.subarray(0, questionEnd));
  plain.writeUInt16BE(0, 10);
  return plain;
}

/** The same question with an EDNS record, and nothing else behind it, that takes larger UDP replies. @param size bytes */
export function withSize(query: Buffer, questionEnd: number, size: number, dnssecOk: boolean): Buffer {
  const larger = Buffer.alloc(questionEnd + optSize);
  query.copy(larger, 0, 0, questionEnd);
  larger.fill(0, 6, HEADER_SIZE);
  larger.writeUInt16BE(1, 10);
  writeOptRecord(larger, questionEnd, size, dnssecOk);
  return larger;
}

function writeOptRecord(query: Buffer, at: number, size: number, dnssecOk: boolean): void {
  query.writeUInt16BE(TYPE.OPT, at + 1);
  query.writeUInt16BE(size, at + 3);
  query.writeUInt16BE(dnssecOk ? 0x8000 : 0, at + 7);
}
