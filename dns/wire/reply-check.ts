import { FLAG, HEADER_SIZE, RCODE, TYPE } from "./query.js";
import { recordsIn } from "./record-offsets.js";

/**
 * Whether bytes from the network answer this very query: id, QR, opcode, one question, the same name (letter case
 * aside), type and class (RFC 5452 section 9.1), with records that are whole unless TC is set. The kernel has checked
 * the sender, since the socket is connected. An error may also be a bare header: so do servers answer that could not
 * read the query.
 * @param questionEnd offset just past the question in `query`
 */
export function isReplyTo(reply: Buffer, query: Buffer, questionEnd: number): boolean {
  if (reply.length < HEADER_SIZE) return false;
  if (reply[0] !== query[0] || reply[1] !== query[1]) return false;
  const flags = reply.readUInt16BE(2);
  if (!(flags & FLAG.QR) || ((flags ^ query.readUInt16BE(2)) & 0x7800) !== 0) return false;
  if (isBare(reply)) return errors.includes(rcodeOf(reply));
  if (reply.length < questionEnd || reply.readUInt16BE(4) !== 1) return false;
  for (let at = HEADER_SIZE; at < questionEnd - 4; at++) if (folded(reply[at]!) !== folded(query[at]!)) return false;
  if (reply.compare(query, questionEnd - 4, questionEnd, questionEnd - 4, questionEnd) !== 0) return false;
  return (flags & FLAG.TC) !== 0 || recordsIn(reply, questionEnd) !== undefined;
}

const errors: readonly number[] = [RCODE.FORMERR, RCODE.SERVFAIL, RCODE.NOTIMP, RCODE.REFUSED];

/** Whether a reply is a header alone, without even the question. */
export function isBare(reply: Buffer): boolean {
  return reply.length === HEADER_SIZE && reply.readUInt32BE(4) === 0 && reply.readUInt32BE(8) === 0;
}

/** Whether a reply has an OPT record, as every reply to a query with EDNS must from a server that knows EDNS (RFC 6891 section 7). */
export function speaksEdns(reply: Buffer, questionEnd: number): boolean {
  if (isBare(reply)) return false;
  return recordsIn(reply, questionEnd)?.some(({ type }) => type === TYPE.OPT) ?? false;
}

/** The response code in a reply's header. */
export function rcodeOf(reply: Buffer): number {
  return reply[3]! & 15;
}

export function isTruncated(reply: Buffer): boolean {
  return (reply.readUInt16BE(2) & FLAG.TC) !== 0;
}

export function answerCount(reply: Buffer): number {
  return reply.readUInt16BE(6);
}

function folded(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}
