import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { open } from "node:fs/promises";
import { errorCode, PontoonError } from "./errors.js";

// Files whose place or content others control: a bounded part of them is read, nothing but a regular file is opened, and
// nobody is waited for. A fifo keeps its reader waiting until somebody writes, and opening a device may have effects.

/** What was read of a file. */
export interface Excerpt {
  readonly text: string;
  /** Whether that is all of it. */
  readonly isWhole: boolean;
}

export interface Opening {
  /** Whether the last part of the path may be a symbolic link. */
  readonly followLink: boolean;
}

/** open(2): the place in the file system without the file itself, which Node has no name for. */
const O_PATH = 0x20_0000;

/** Reads the first `atMost` bytes of a regular file. Throws FILE_UNFIT for anything else, and what open(2) says. */
export async function readRegularFile(path: string, atMost: number, { followLink }: Opening): Promise<Excerpt> {
  const place = await open(path, placeFlags(followLink));
  try {
    const stat = await place.stat();
    requireRegular(path, stat);
    const file = await open(`/proc/self/fd/${place.fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const { buffer, bytesRead } = await file.read(roomFor(stat, atMost), 0, null, 0);
      return excerptOf(buffer.subarray(0, bytesRead), atMost);
    } finally {
      await file.close();
    }
  } finally {
    await place.close();
  }
}

/** As {@link readRegularFile}, without waiting for the event loop: for small files that must not change in between. */
export function readRegularFileSync(path: string, atMost: number, opening: Opening): Excerpt {
  const file = openRegularFile(path, constants.O_RDONLY, opening);
  try {
    const buffer = roomFor(fstatSync(file), atMost);
    return excerptOf(buffer.subarray(0, readSync(file, buffer, 0, buffer.length, 0)), atMost);
  } finally {
    closeSync(file);
  }
}

/** Opens a regular file that is there. Throws FILE_UNFIT for anything else, and what open(2) says. @returns the descriptor */
export function openRegularFile(path: string, flags: number, { followLink }: Opening): number {
  const place = openSync(path, placeFlags(followLink));
  try {
    requireRegular(path, fstatSync(place));
    return openSync(`/proc/self/fd/${place}`, flags | constants.O_NONBLOCK);
  } finally {
    closeSync(place);
  }
}

/**
 * A new file in the place of whatever has that name, which is left as it is: it may be a link, and others may hold it open.
 * Only its owner may open it. @returns the descriptor
 */
export function createFile(path: string): number {
  removeFile(path);
  return openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
}

/** Replaces whatever has that name by a whole file: a reader sees all of the old one or all of the new one. */
export function replaceFile(path: string, text: string): void {
  const passing = `${path}.new`;
  const file = createFile(passing);
  try {
    writeFileSync(file, text);
  } finally {
    closeSync(file);
  }
  renameSync(passing, path);
}

/** Removes a name, of a file, link or socket, if it is there. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}

function placeFlags(followLink: boolean): number {
  return O_PATH | (followLink ? 0 : constants.O_NOFOLLOW);
}

function requireRegular(path: string, stat: Stats): void {
  if (!stat.isFile())
    throw new PontoonError("FILE_UNFIT", path, `${path} is ${kindOf(stat)}, not a regular file; put one there`);
}

function kindOf(stat: Stats): string {
  if (stat.isSymbolicLink()) return "a symbolic link";
  if (stat.isDirectory()) return "a folder";
  if (stat.isFIFO()) return "a fifo";
  return stat.isSocket() ? "a socket" : "a device";
}

/** One byte more than is wanted tells whether there is more. A file that grows meanwhile is not followed. */
function roomFor({ size }: Stats, atMost: number): Buffer {
  return Buffer.alloc(Math.min(size, atMost) + 1);
}

function excerptOf(bytes: Buffer, atMost: number): Excerpt {
  return { text: bytes.toString("utf8", 0, Math.min(bytes.length, atMost)), isWhole: bytes.length <= atMost };
}
