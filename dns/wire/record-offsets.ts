import { endOfValidName, hasValidNames } from "./name-check.js";

const recordHeader = 10; // type, class, TTL and length behind a record's owner (RFC 1035 section 3.2.1)

/** Where a record of an upstream's reply is; only its header has been read. */
export interface RecordOffsets {
  readonly section: "answer" | "authority" | "additional";
  readonly at: number;
  readonly type: number;
  /** Offset of the TTL; the data begins six bytes on. */
  readonly ttlAt: number;
  readonly dataLength: number;
}

/**
 * The records that a reply's header promises. Bytes behind them are no fault.
 * @param questionEnd offset just past the question, the message beginning at 0
 * @returns undefined when one is not whole, or has a name that is not valid
 */
export function recordsIn(message: Buffer, questionEnd: number): RecordOffsets[] | undefined {
  const records: RecordOffsets[] = [];
  const fields = [questionEnd - 4];
  let at = questionEnd;
  for (const [section, countAt] of [
    ["answer", 6],
    ["authority", 8],
    ["additional", 10],
  ] as const) {
    for (let left = message.readUInt16BE(countAt); left > 0; left--) {
      const nameEnd = endOfValidName(message, at, fields);
      if (nameEnd === undefined || nameEnd + recordHeader > message.length) return undefined;
      const type = message.readUInt16BE(nameEnd);
      const dataLength = message.readUInt16BE(nameEnd + 8);
      const dataAt = nameEnd + recordHeader;
      fields.push(nameEnd + 4);
      if (!hasValidNames(message, type, dataAt, dataLength, fields)) return undefined;
      records.push({ section, at, type, ttlAt: nameEnd + 4, dataLength });
      at = dataAt + dataLength;
      if (at > message.length) return undefined;
    }
  }
  return records;
}
