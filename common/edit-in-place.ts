import { closeSync, constants, fstatSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { PontoonError } from "./errors.js";
import { openRegularFile } from "./files.js";

/** Bytes of a hosts file that is edited; the container itself can make it grow. Docker's own has some hundred, and 30 a link. */
const fileAtMost = 64 * 1024;

/**
 * Writes what differs into the file that is there, for a new file would not be the one mounted into the container.
 * Synchronous, since dockerd edits it too, under a lock that only dockerd knows. Throws HOSTS_FILE_UNFIT, FILE_UNFIT, and what
 * open(2) says.
 * @returns whether there was anything to write, and the bytes that were read
 */
export function editInPlace(path: string, edit: (content: Buffer) => Buffer): { repaired: boolean; bytes: number } {
  const file = openRegularFile(path, constants.O_RDWR, { followLink: false });
  try {
    const { size, mtimeMs } = checkedStat(file, path);
    const before = Buffer.alloc(size);
    const left = { repaired: false, bytes: size };
    if (readSync(file, before, 0, size, 0) !== size) return left;
    const after = edit(before);
    if (after.equals(before)) return left;
    const now = fstatSync(file);
    if (now.size !== size || now.mtimeMs !== mtimeMs) return left;
    overwrite(file, before, after);
    return { repaired: true, bytes: size };
  } finally {
    closeSync(file);
  }
}

function checkedStat(file: number, path: string): { size: number; mtimeMs: number } {
  const stat = fstatSync(file);
  if (stat.size > fileAtMost)
    throw new PontoonError(
      "HOSTS_FILE_UNFIT",
      path,
      `${path} has ${stat.size} bytes; pontoon edits up to ${fileAtMost}`,
    );
  return stat;
}

/** In one write, filled up with empty lines: a reader never sees a line that is missing or cut in two. */
function overwrite(file: number, before: Buffer, after: Buffer): void {
  let start = 0;
  while (start < before.length && before[start] === after[start]) start++;
  const filler = Buffer.alloc(Math.max(0, before.length - after.length), "\n");
  const rest = Buffer.concat([after.subarray(start), filler]);
  writeSync(file, rest, 0, rest.length, start);
  if (filler.length > 0) ftruncateSync(file, after.length);
}
