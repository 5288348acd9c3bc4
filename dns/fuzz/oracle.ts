// What must hold of a reply, whatever was asked. Written apart from the code that makes replies: it follows names as a
// client does, and shares nothing with it.

const typesWithNames: Readonly<Record<number, readonly [skip: number, names: number]>> = {
  2: [0, 1],
  5: [0, 1],
  6: [0, 2],
  12: [0, 1],
  15: [2, 1],
  33: [6, 1],
};

/**
 * @param query the bytes that were sent
 * @param reply the bytes that came back; undefined for none
 * @param limit bytes this client takes
 * @returns what is wrong; undefined when nothing is
 */
export function faultOf(query: Buffer, reply: Buffer | undefined, limit: number): string | undefined {
  const deserves = query.length >= 12 && (query[2]! & 0x80) === 0;
  if (!reply) return deserves ? "a query without a reply" : undefined;
  if (!deserves) return "a reply to something that is not a query";
  if (reply.length > limit) return `${reply.length} bytes, of ${limit} allowed`;
  if (reply.length < 12) return "a reply without a header";
  if (reply[0] !== query[0] || reply[1] !== query[1]) return "another id";
  if ((reply[2]! & 0x80) === 0) return "not a reply";
  if ((reply[2]! & 0x78) !== (query[2]! & 0x78)) return "another opcode";
  return faultIn(query, reply);
}

function faultIn(query: Buffer, reply: Buffer): string | undefined {
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) => reply.readUInt16BE(at)) as [
    number,
    number,
    number,
    number,
  ];
  const rcode = reply[3]! & 15;
  if (questions === 0) {
    if (![1, 4, 5].includes(rcode)) return `rcode ${rcode} without a question`;
    return reply.length === 12 && answers + authorities + additionals === 0 ? undefined : "records without a question";
  }
  if (questions !== 1) return `${questions} questions`;
  const nameEnd = endOfName(reply, 12);
  if (typeof nameEnd === "string") return `question: ${nameEnd}`;
  const end = nameEnd + 4;
  if (end > reply.length || !reply.subarray(12, end).equals(query.subarray(12, end))) return "another question";
  return faultInRecords(reply, end, answers + authorities + additionals, answers + authorities);
}

function faultInRecords(reply: Buffer, at: number, count: number, beforeAdditional: number): string | undefined {
  let edns = 0;
  for (let index = 0; index < count; index++) {
    const nameEnd = endOfName(reply, at);
    if (typeof nameEnd === "string") return `record ${index}: ${nameEnd}`;
    if (nameEnd + 10 > reply.length) return `record ${index} is cut off`;
    const type = reply.readUInt16BE(nameEnd);
    const dataAt = nameEnd + 10;
    const dataEnd = dataAt + reply.readUInt16BE(nameEnd + 8);
    if (dataEnd > reply.length) return `the data of record ${index} is cut off`;
    const fault = faultInData(reply, type, dataAt, dataEnd);
    if (fault !== undefined) return `the data of record ${index}: ${fault}`;
    if (type === 41 && (++edns > 1 || index < beforeAdditional || nameEnd !== at + 1))
      return "EDNS where it may not be";
    at = dataEnd;
  }
  return at === reply.length ? undefined : `${reply.length - at} bytes behind the last record`;
}

function faultInData(reply: Buffer, type: number, dataAt: number, dataEnd: number): string | undefined {
  const [skip, names] = typesWithNames[type] ?? [0, 0];
  let at = dataAt + skip;
  for (let index = 0; index < names; index++) {
    const end = endOfName(reply, at);
    if (typeof end === "string") return end;
    at = end;
  }
  return names === 0 || at <= dataEnd ? undefined : "a name goes on behind it";
}

/** Offset past a name, which is followed to its end as a client would. @returns a text when it has none */
function endOfName(message: Buffer, at: number): number | string {
  const seen = new Set<number>();
  let end: number | undefined;
  let length = 0;
  for (;;) {
    if (at >= message.length) return "a name goes on behind the message";
    if (seen.has(at)) return "a name without end";
    seen.add(at);
    const byte = message[at]!;
    if ((byte & 0xc0) === 0xc0) {
      if (at + 2 > message.length) return "half a pointer";
      end ??= at + 2;
      at = message.readUInt16BE(at) & 0x3fff;
      continue;
    }
    if (byte > 63) return "a label of an unknown kind";
    length += 1 + byte;
    if (length > 255) return "a name longer than 255 bytes";
    at += 1 + byte;
    if (byte === 0) return end ?? at;
  }
}
