import { CLASS, FLAG, HEADER_SIZE, RCODE, TYPE } from "./query.js";
import type { AnswerRecord } from "./records.js";
import { recordsIn, type RecordPlace } from "./record-places.js";

/**
 * An upstream's reply as it is kept: without its OPT record, which is between it and us, and with what is needed to
 * give it out again. Bytes in a latin1 string: a small string costs less memory than a small buffer.
 */
export interface StoredReply {
  readonly bytes: string;
  /** Offsets of the TTLs to count down. */
  readonly ttlOffsets: readonly number[];
  readonly rcode: number;
  /** Seconds it may be kept (RFC 1035 section 3.2.1, RFC 2308 section 5); 0 for not at all. */
  readonly lifetime: number;
  readonly hasAnswers: boolean;
}

/** Nothing is kept longer, seconds. */
const positiveAtMost = 86_400;
const negativeAtMost = 3600;

/**
 * Reads a reply that has passed the reply check: the records are walked by their headers, names are only seen to end.
 * @param end offset just past the question
 * @returns undefined when the records do not fit into the message, have names without end, or an OPT record stands where none may
 */
export function storeReply(reply: Buffer, end: number): StoredReply | undefined {
  const places = recordsIn(reply, end);
  if (!places) return undefined;
  const cut = withoutOpt(reply, end, places);
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

/** The addresses in the answer section, whatever names they stand under: for an answer given under another name. */
export function addressesIn(stored: StoredReply, end: number, type: number, age: number): AnswerRecord[] {
  const message = Buffer.from(stored.bytes, "latin1");
  const places = recordsIn(message, end) ?? [];
  return places
    .filter((place) => place.section === "answer" && place.type === type && place.dataLength === (type === TYPE.A ? 4 : 16))
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
function withoutOpt(reply: Buffer, end: number, places: readonly RecordPlace[]): { message: Buffer; kept: readonly RecordPlace[] } | undefined {
  const optIndex = places.findIndex(({ type }) => type === TYPE.OPT);
  if (optIndex >= 0 && places[optIndex]!.section !== "additional") return undefined;
  const kept = optIndex < 0 ? places : places.slice(0, optIndex);
  const last = kept.at(-1);
  const message = Buffer.from(reply.subarray(0, last ? last.ttlAt + 6 + last.dataLength : end));
  message.writeUInt16BE(kept.filter(({ section }) => section === "additional").length, 10);
  return { message, kept };
}

function isComplete(message: Buffer, rcode: number): boolean {
  return (message.readUInt16BE(2) & FLAG.TC) === 0 && (rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN);
}

/**
 * Positive: the smallest TTL of the answer. Negative: what the zone's SOA says; without one it is not kept. An alias
 * whose target does not exist, or has nothing of the type, is both: the SOA stands beside the alias.
 */
function lifetimeOf(message: Buffer, places: readonly RecordPlace[], hasAnswers: boolean, rcode: number): number {
  const ttlOf = ({ ttlAt }: RecordPlace) => saneTtl(message.readUInt32BE(ttlAt));
  const answers = places.filter(({ section }) => section === "answer");
  const positive = Math.min(positiveAtMost, ...answers.map(ttlOf));
  const soa = places.find(({ section, type, dataLength }) => section === "authority" && type === TYPE.SOA && dataLength >= 22);
  if (!soa) return hasAnswers && rcode === RCODE.NOERROR ? positive : 0;
  const minimum = saneTtl(message.readUInt32BE(soa.ttlAt + 6 + soa.dataLength - 4));
  return Math.min(negativeAtMost, positive, ttlOf(soa), minimum);
}

/** A TTL with its highest bit set counts as zero (RFC 2181 section 8). */
function saneTtl(ttl: number): number {
  return ttl >= 0x80000000 ? 0 : ttl;
}

/** A query of our own for a name: a fresh header, one question, EDNS with a payload that fits into one packet. */
export function buildQuery(key: string, type: number, { checkingDisabled, dnssecOk }: { checkingDisabled: boolean; dnssecOk: boolean }): { query: Buffer; questionEnd: number } {
  const questionEnd = HEADER_SIZE + key.length + 1 + 4;
  const query = Buffer.alloc(questionEnd + 11);
  query.writeUInt16BE(FLAG.RD | (checkingDisabled ? FLAG.CD : 0), 2);
  query.writeUInt16BE(1, 4);
  query.writeUInt16BE(1, 10);
  query.write(key, HEADER_SIZE, "latin1");
  query.writeUInt16BE(type, questionEnd - 4);
  query.writeUInt16BE(CLASS.IN, questionEnd - 2);
  query.writeUInt16BE(TYPE.OPT, questionEnd + 1);
  query.writeUInt16BE(1232, questionEnd + 3);
  query.writeUInt16BE(dnssecOk ? 0x8000 : 0, questionEnd + 7);
  return { query, questionEnd };
}
