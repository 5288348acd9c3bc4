import { TYPE } from "./query.js";
import { recordsIn, type RecordOffsets } from "./record-offsets.js";

/** Orders in which the addresses of one answer are given out. */
const rotationsAtMost = 16;

/**
 * A reply in each order its addresses may be given out in, the given one first. Neighbouring address records of one owner
 * and type exchange their addresses; nothing else moves, so that names go on leading to where they did.
 * @param questionEnd offset just past the question
 */
export function rotations(reply: Buffer, questionEnd: number): Buffer[] {
  const sets = addressSets(reply, recordsIn(reply, questionEnd) ?? []);
  const count = Math.min(rotationsAtMost, Math.max(1, ...sets.map((set) => set.length)));
  const turned = Array.from({ length: count - 1 }, (_, by) => rotated(reply, sets, by + 1));
  // A server may have a name go on within an address: with another address there it would be none.
  return [reply, ...turned.filter((each) => recordsIn(each, questionEnd) !== undefined)];
}

function rotated(reply: Buffer, sets: readonly (readonly RecordOffsets[])[], by: number): Buffer {
  const turned = Buffer.from(reply);
  for (const set of sets) {
    set.forEach(({ ttlAt, dataLength }, index) => {
      const from = set[(index + by) % set.length]!.ttlAt + 6;
      reply.copy(turned, ttlAt + 6, from, from + dataLength);
    });
  }
  return turned;
}

/** Runs of address records of one owner and type, of one at least two. */
function addressSets(reply: Buffer, records: readonly RecordOffsets[]): RecordOffsets[][] {
  const sets: RecordOffsets[][] = [];
  for (const place of records) {
    if (place.section !== "answer" || sizeOf(place.type) !== place.dataLength) continue;
    const set = sets.at(-1);
    const last = set?.at(-1);
    if (set && last && isNeighbour(reply, last, place)) set.push(place);
    else sets.push([place]);
  }
  return sets.filter((set) => set.length > 1);
}

function isNeighbour(reply: Buffer, one: RecordOffsets, next: RecordOffsets): boolean {
  if (one.type !== next.type || one.ttlAt + 6 + one.dataLength !== next.at) return false;
  return reply.compare(reply, next.at, next.ttlAt, one.at, one.ttlAt) === 0; // owner, type and class
}

function sizeOf(type: number): number | undefined {
  if (type === TYPE.A) return 4;
  return type === TYPE.AAAA ? 16 : undefined;
}
