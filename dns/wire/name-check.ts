import { HEADER_SIZE, TYPE } from "./query.js";

// Names in the replies of others. They are passed on as they are, so they must be such that whoever follows their
// pointers comes to an end, and still does when the message is cut behind any of its records.

/** Pointers in one name; each but the last must lead to a label at least, and a name has no more labels than these. */
const pointersAtMost = 127;
const nameAtMost = 255; // bytes, uncompressed
const fieldSize = 4; // bytes

/**
 * Offset past a name whose pointers all lead further back, behind the header, to labels that end before the place that
 * points there, and which is no longer than a name may be.
 * @param fields offsets, ascending, of four bytes each that are changed when the message is passed on (TTLs, and the
 *   type and class of the question): a name in them would become another
 * @returns undefined for any other
 */
export function endOfValidName(message: Buffer, at: number, fields: readonly number[] = []): number | undefined {
  let end: number | undefined;
  let begin = at;
  let limit = message.length;
  let pointers = 0;
  let length = 0;
  for (;;) {
    if (at >= limit) return undefined;
    const byte = message[at]!;
    const isPointer = byte >= 0xc0;
    const next = isPointer ? at + 2 : at + 1 + byte;
    if ((byte > 63 && !isPointer) || next > limit || (end !== undefined && overlaps(fields, at, next)))
      return undefined;
    if (isPointer) {
      const target = message.readUInt16BE(at) & 0x3fff;
      if (++pointers > pointersAtMost || target >= begin || target < HEADER_SIZE) return undefined;
      end ??= next;
      limit = begin;
      begin = at = target;
      continue;
    }
    length += 1 + byte;
    if (length > nameAtMost) return undefined;
    at = next;
    if (byte === 0) return end ?? at;
  }
}

/** Whether one of the fields shares a byte with these. */
function overlaps(fields: readonly number[], from: number, to: number): boolean {
  if (fields.length === 0 || to <= fields[0]!) return false;
  let [low, high] = [0, fields.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (fields[middle]! + fieldSize > from) high = middle;
    else low = middle + 1;
  }
  return low < fields.length && fields[low]! < to;
}

/** Where names stand in the data of types whose names may be compressed (RFC 3597 section 4): how many, and behind how many bytes. */
const namesIn: Partial<Record<number, { readonly skip: number; readonly count: number }>> = {
  [TYPE.NS]: { skip: 0, count: 1 },
  [TYPE.CNAME]: { skip: 0, count: 1 },
  [TYPE.PTR]: { skip: 0, count: 1 },
  [TYPE.SOA]: { skip: 0, count: 2 },
  [TYPE.MX]: { skip: 2, count: 1 },
  [TYPE.SRV]: { skip: 6, count: 1 },
};

/** Whether the names in a record's data are valid and inside of it. Data of other types is read by the client alone. */
export function hasValidNames(
  message: Buffer,
  type: number,
  dataAt: number,
  dataLength: number,
  fields: readonly number[] = [],
): boolean {
  const names = namesIn[type];
  if (!names) return true;
  let at: number | undefined = dataAt + names.skip;
  for (let index = 0; index < names.count && at !== undefined; index++) at = endOfValidName(message, at, fields);
  return at !== undefined && at <= dataAt + dataLength;
}
