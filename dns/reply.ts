import { FLAG, HEADER_SIZE, TYPE, type Edns, type Question, type Rcode, type Refusal } from "./query.js";
import { encodeName, type AnswerRecord } from "./records.js";

/** Largest UDP reply sent, whatever the client allows. Loopback carries it in one piece. */
export const UDP_REPLY_LIMIT = 4096;
/** What a client without EDNS takes (RFC 1035 section 4.2.1). */
const PLAIN_UDP_LIMIT = 512;
/** UDP payload size this server announces (DNS Flag Day 2020). */
const ANNOUNCED_SIZE = 1232;
const OPT_SIZE = 11;
const POINTER_TO_QUESTION = 0xc000 | HEADER_SIZE;

/** The largest reply this client takes over UDP, bytes. */
export function udpLimit(edns: Edns | undefined): number {
  if (!edns) return PLAIN_UDP_LIMIT;
  return Math.min(UDP_REPLY_LIMIT, Math.max(PLAIN_UDP_LIMIT, edns.size));
}

export interface ReplyContent {
  readonly rcode: Rcode;
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
export function buildReply(message: Buffer, question: Question, content: ReplyContent, limit: number, rotation = 0): Buffer {
  const reply = Buffer.allocUnsafe(Math.min(limit, sizeOf(question, content)));
  message.copy(reply, 0, 0, question.end);
  const room = limit - (question.edns ? OPT_SIZE : 0);
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
  if (question.edns) at = writeOpt(reply, at, content.rcode, question.edns.dnssecOk);
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

/** Cuts somebody else's reply down to header and question with TC set, for a client that takes no more. */
export function truncatedCopy(reply: Buffer, questionEnd: number): Buffer {
  const copy = Buffer.from(reply.subarray(0, questionEnd));
  copy.writeUInt16BE(copy.readUInt16BE(2) | FLAG.TC, 2);
  copy.fill(0, 6, HEADER_SIZE);
  return copy;
}

function writeHeader(reply: Buffer, flags: number, rcode: Rcode, truncated: boolean, answers: number, additional: number): void {
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
function writeOpt(reply: Buffer, at: number, rcode: Rcode, dnssecOk: boolean): number {
  at = reply.writeUInt8(0, at);
  at = reply.writeUInt16BE(TYPE.OPT, at);
  at = reply.writeUInt16BE(ANNOUNCED_SIZE, at);
  at = reply.writeUInt8(rcode >> 4, at);
  at = reply.writeUInt8(0, at);
  at = reply.writeUInt16BE(dnssecOk ? 0x8000 : 0, at);
  return reply.writeUInt16BE(0, at);
}

function sizeOf(question: Question, content: ReplyContent): number {
  const records = [...content.records, ...content.additional];
  return question.end + (question.edns ? OPT_SIZE : 0) + records.reduce((sum, record) => sum + sizeOfRecord(record), 0);
}

function sizeOfRecord(record: AnswerRecord): number {
  const owner = record.owner === undefined ? 2 : encodeName(record.owner).length;
  return owner + 10 + record.data.length;
}
