import { foldCase } from "./name.js";
import { FLAG, HEADER_SIZE, TYPE, type Edns, type Question, type Rcode, type Refusal } from "./query.js";
import { encodeName, type AnswerRecord } from "./records.js";
import type { StoredReply } from "./stored-reply.js";

/** Largest UDP reply sent, whatever the client allows. Loopback carries it in one piece. */
export const UDP_REPLY_LIMIT = 4096;
/** What a client without EDNS takes (RFC 1035 section 4.2.1). */
const PLAIN_UDP_LIMIT = 512;
/** UDP payload size this server announces (DNS Flag Day 2020). */
const ANNOUNCED_SIZE = 1232;
const OPT_SIZE = 11;
const EXTENDED_ERROR_OPTION = 15;
const POINTER_TO_QUESTION = 0xc000 | HEADER_SIZE;

/** The largest reply this client takes over UDP, bytes. */
export function udpLimit(edns: Edns | undefined): number {
  if (!edns) return PLAIN_UDP_LIMIT;
  return Math.min(UDP_REPLY_LIMIT, Math.max(PLAIN_UDP_LIMIT, edns.size));
}

/** An extended error (RFC 8914): a number for programs, a text for people. Only clients with EDNS get to see it. */
export interface ExtendedError {
  readonly code: number;
  readonly text: string;
}

export interface ReplyContent {
  readonly rcode: Rcode;
  readonly error?: ExtendedError | undefined;
  readonly records: readonly AnswerRecord[];
  readonly additional: readonly AnswerRecord[];
}

/**
 * Builds a reply: the question as the client spelled it, answers, then what fits of the additional records.
 * Answers that do not fit are left out and TC is set: whoever ignores TC (musl before 1.2.4) still gets some.
 * @param message the query; its first byte is the id's
 * @param limit bytes
 * @param rotation which answer comes first
 */
export function buildReply(
  message: Buffer,
  question: Question,
  content: ReplyContent,
  limit: number,
  rotation = 0,
): Buffer {
  const reply = Buffer.allocUnsafe(Math.min(limit, sizeOf(question, content)));
  message.copy(reply, 0, 0, question.end);
  const room = limit - sizeOfOpt(question.edns, content.error);
  let at = question.end;
  let answers = 0;
  const count = content.records.length;
  for (let index = 0; index < count; index++) {
    const record = content.records[(index + rotation) % count]!;
    if (at + sizeOfRecord(record) > room) break;
    at = writeRecord(reply, at, record);
    answers++;
  }
  const truncated = answers < count;
  let additional = 0;
  for (const record of truncated ? [] : content.additional) {
    if (at + sizeOfRecord(record) > room) break;
    at = writeRecord(reply, at, record);
    additional++;
  }
  if (question.edns) at = writeOpt(reply, at, content.rcode, question.edns.dnssecOk, content.error);
  writeHeader(reply, question.flags, content.rcode, truncated, answers, additional + (question.edns ? 1 : 0));
  return reply.subarray(0, at);
}

/** The reply to a query that is not answered, with its question where that could be read. */
export function buildRefusal(message: Buffer, refusal: Refusal): Buffer {
  const reply = Buffer.alloc(refusal.end + (refusal.hasEdns ? OPT_SIZE : 0));
  message.copy(reply, 0, 0, refusal.end);
  const flags = message.readUInt16BE(2);
  writeHeader(reply, flags, refusal.rcode, false, 0, refusal.hasEdns ? 1 : 0);
  reply.writeUInt16BE(refusal.end > HEADER_SIZE ? 1 : 0, 4);
  if (refusal.hasEdns) writeOpt(reply, refusal.end, refusal.rcode, false);
  return reply;
}

/** How a cached reply of an upstream is given out. */
export interface Rendering {
  /** Seconds since it was learnt. */
  readonly age: number;
  /** Changes what is left of a TTL, seconds. */
  readonly ttl?: ((left: number) => number) | undefined;
  readonly error?: ExtendedError | undefined;
}

/**
 * A cached reply as this client gets it: its own id and spelling, TTLs counted down. If it does not fit, what a client can
 * do without is left out first. TC is set only when an answer is left out, too (RFC 2181 section 9); a client that ignores
 * TC still gets some. A reply that came truncated stays so.
 */
export function renderReply(
  message: Buffer,
  question: Question,
  stored: StoredReply,
  limit: number,
  { age, ttl, error }: Rendering,
): Buffer {
  const opt = sizeOfOpt(question.edns, error);
  const whole = Buffer.from(stored.bytes, "latin1");
  const cut = cutToFit(whole, stored, question, limit - opt);
  const reply = Buffer.allocUnsafe(cut.end + opt);
  whole.copy(reply, 0, 0, cut.end);
  message.copy(reply, 0, 0, 2);
  message.copy(reply, HEADER_SIZE, HEADER_SIZE, question.end);
  let recordAt = question.end;
  for (const at of stored.ttlOffsets) {
    if (at >= cut.end) break;
    respell(reply, recordAt, at - recordAt - 4, message, question);
    const left = Math.max(0, reply.readUInt32BE(at) - age);
    reply.writeUInt32BE(ttl ? ttl(left) : left, at);
    recordAt = endOfRecord(reply, at);
  }
  cut.counts.forEach((count, section) => reply.writeUInt16BE(count, 6 + 2 * section));
  // AA is left as the upstream said it; AD is only for a client that asked for it (RFC 6840 section 5.8).
  const asksForAd = (question.flags & FLAG.AD) !== 0 || question.edns?.dnssecOk === true;
  const kept = reply.readUInt16BE(2) & ~(FLAG.RD | FLAG.CD | FLAG.TC | (asksForAd ? 0 : FLAG.AD));
  const truncated = cut.truncated || (reply.readUInt16BE(2) & FLAG.TC) !== 0;
  reply.writeUInt16BE(kept | FLAG.QR | FLAG.RA | (question.flags & (FLAG.RD | FLAG.CD)) | (truncated ? FLAG.TC : 0), 2);
  if (question.edns) {
    reply.writeUInt16BE(reply.readUInt16BE(10) + 1, 10);
    writeOpt(reply, cut.end, stored.rcode as Rcode, question.edns.dnssecOk, error);
  }
  return reply;
}

/** What is sent of a reply. */
interface Cut {
  readonly end: number;
  /** Records of each section. */
  readonly counts: readonly [answers: number, authorities: number, additionals: number];
  /** Something is missing that the client has asked for. */
  readonly truncated: boolean;
}

/** Names refer backwards only, so whatever is left of a reply when its end is cut off stays whole. */
function cutToFit(whole: Buffer, { ttlOffsets }: StoredReply, { end, edns }: Question, room: number): Cut {
  const [answers, authorities, additionals] = [6, 8, 10].map((at) => whole.readUInt16BE(at)) as [
    number,
    number,
    number,
  ];
  if (whole.length <= room) return { end: whole.length, counts: [answers, authorities, additionals], truncated: false };
  const endBehind = (records: number) => (records === 0 ? end : endOfRecord(whole, ttlOffsets[records - 1]!));
  const endOfAuthorities = endBehind(answers + authorities);
  if (endOfAuthorities <= room) return { end: endOfAuthorities, counts: [answers, authorities, 0], truncated: false };
  // Without answers the authority section is what the reply says; with DO it may be what proves them.
  const isSaidByAnswers = answers > 0 && edns?.dnssecOk !== true;
  if (isSaidByAnswers && endBehind(answers) <= room)
    return { end: endBehind(answers), counts: [answers, 0, 0], truncated: false };
  let fitting = 0;
  while (fitting < answers && endBehind(fitting + 1) <= room) fitting++;
  return { end: endBehind(fitting), counts: [fitting, 0, 0], truncated: true };
}

/** @param ttlAt where its TTL is */
function endOfRecord(message: Buffer, ttlAt: number): number {
  return ttlAt + 6 + message.readUInt16BE(ttlAt + 4);
}

/** Gives the question's name, where an upstream has written it out as a record's owner, the client's letter case: some compare bytes. */
function respell(reply: Buffer, ownerAt: number, length: number, message: Buffer, { key }: Question): void {
  if (length !== key.length + 1 || reply[ownerAt + key.length] !== 0) return;
  if (foldCase(reply.latin1Slice(ownerAt, ownerAt + key.length)) === key)
    message.copy(reply, ownerAt, HEADER_SIZE, HEADER_SIZE + key.length);
}

function writeHeader(
  reply: Buffer,
  flags: number,
  rcode: Rcode,
  truncated: boolean,
  answers: number,
  additional: number,
): void {
  const kept = flags & (0x7800 | FLAG.RD | FLAG.CD); // opcode, RD, CD
  reply.writeUInt16BE(FLAG.QR | kept | FLAG.RA | (truncated ? FLAG.TC : 0) | (rcode & 15), 2);
  reply.writeUInt16BE(1, 4);
  reply.writeUInt16BE(answers, 6);
  reply.writeUInt16BE(0, 8);
  reply.writeUInt16BE(additional, 10);
}

function writeRecord(reply: Buffer, at: number, record: AnswerRecord): number {
  if (record.owner === undefined) at = reply.writeUInt16BE(POINTER_TO_QUESTION, at);
  else at += encodeName(record.owner).copy(reply, at);
  at = reply.writeUInt16BE(record.type, at);
  at = reply.writeUInt16BE(1, at);
  at = reply.writeUInt32BE(record.ttl, at);
  at = reply.writeUInt16BE(record.data.length, at);
  return at + record.data.copy(reply, at);
}

/** An OPT record (RFC 6891 section 6.1): the upper bits of the rcode live here. */
function writeOpt(reply: Buffer, at: number, rcode: Rcode, dnssecOk: boolean, error?: ExtendedError): number {
  at = reply.writeUInt8(0, at);
  at = reply.writeUInt16BE(TYPE.OPT, at);
  at = reply.writeUInt16BE(ANNOUNCED_SIZE, at);
  at = reply.writeUInt8(rcode >> 4, at);
  at = reply.writeUInt8(0, at);
  at = reply.writeUInt16BE(dnssecOk ? 0x8000 : 0, at);
  if (!error) return reply.writeUInt16BE(0, at);
  const text = extraText(error);
  at = reply.writeUInt16BE(6 + text.length, at);
  at = reply.writeUInt16BE(EXTENDED_ERROR_OPTION, at);
  at = reply.writeUInt16BE(2 + text.length, at);
  at = reply.writeUInt16BE(error.code, at);
  return at + text.copy(reply, at);
}

function extraText({ text }: ExtendedError): Buffer {
  return Buffer.from(text).subarray(0, 200);
}

function sizeOfOpt(edns: Edns | undefined, error: ExtendedError | undefined): number {
  if (!edns) return 0;
  return OPT_SIZE + (error ? 6 + extraText(error).length : 0);
}

function sizeOf(question: Question, content: ReplyContent): number {
  const records = [...content.records, ...content.additional];
  return (
    question.end +
    sizeOfOpt(question.edns, content.error) +
    records.reduce((sum, record) => sum + sizeOfRecord(record), 0)
  );
}

function sizeOfRecord(record: AnswerRecord): number {
  const owner = record.owner === undefined ? 2 : encodeName(record.owner).length;
  return owner + 10 + record.data.length;
}
