// /proc: which processes there are, and what is told of each. A process may end while it is looked at, a file may be as long as
// somebody makes it, and there may be very many: so reads are bounded, what is gone is no error, and much is done in pieces.
import { closeSync, constants, opendirSync, openSync, readSync, statSync } from "node:fs";
import type { Excerpt } from "../common/files.js";
import type { Pieces } from "./pieces.js";

export type NamespaceKind = "mnt" | "net" | "pid";

/** Bytes read in one piece; some 400 lines about sockets. */
const pieceSize = 64 << 10;
/** Of a file that is read line by line; the kernel has no limit of its own. */
const linesAtMost = 128 << 20;
/** Of a file about one process, bytes. */
const aboutProcessAtMost = 16 << 10;
/** Names looked at in one piece. */
const namesInPiece = 64;

/** Reads the first `atMost` bytes of a file of /proc, which has no size. Throws what open(2) and read(2) say. */
export function readProcFile(path: string, atMost: number): Excerpt {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const parts: Buffer[] = [];
    let length = 0;
    while (length <= atMost) {
      const part = Buffer.allocUnsafe(Math.min(pieceSize, atMost + 1 - length));
      const got = readSync(file, part);
      if (got === 0) break;
      parts.push(part.subarray(0, got));
      length += got;
    }
    return { text: Buffer.concat(parts).toString("utf8", 0, Math.min(length, atMost)), isWhole: length <= atMost };
  } finally {
    closeSync(file);
  }
}

/** Reads a file of /proc line by line, without its headline. Throws what open(2) and read(2) say. */
export function* eachLine(path: string, found: (line: string) => void): Pieces<void> {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.allocUnsafe(pieceSize);
    let rest = "";
    let isHeadline = true;
    for (let total = 0; total < linesAtMost; yield) {
      const length = readSync(file, bytes);
      if (length === 0) break;
      total += length;
      const lines = (rest + bytes.latin1Slice(0, length)).split("\n");
      rest = lines.pop()!.slice(0, pieceSize);
      for (const line of lines) {
        if (!isHeadline) found(line);
        isHeadline = false;
      }
    }
    if (rest !== "") found(rest);
  } finally {
    closeSync(file);
  }
}

/** Every process this one can see. */
export function* processes(): Pieces<number[]> {
  const pids: number[] = [];
  for (const name of namesIn("/proc")) {
    if (/^\d{1,10}$/.test(name)) pids.push(Number(name));
    if (pids.length % namesInPiece === 0) yield;
  }
  return pids;
}

/** What a file about a process says, or its beginning; undefined when the process has ended, or the file is not ours to read. */
export function aboutProcess(pid: number, file: string, atMost = aboutProcessAtMost): string | undefined {
  try {
    return readProcFile(`/proc/${pid}/${file}`, atMost).text;
  } catch {
    return undefined;
  }
}

/** A process's name as `ps` shows it, which it may have chosen itself; undefined when it has ended. */
export function commandOf(pid: number): string | undefined {
  return aboutProcess(pid, "comm")?.trim();
}

/** The words a process was started with, or what it wrote there; none when it has ended. @param atMost bytes */
export function argumentsOf(pid: number, atMost?: number): string[] {
  const line = aboutProcess(pid, "cmdline", atMost) ?? "";
  return line === "" ? [] : line.replace(/\0$/, "").split("\0");
}

/** The fields of /proc/PID/status and /proc/PID/fdinfo/FD by name (proc(5)). The kernel writes out a line feed in a process's name. */
export function fieldsOf(status: string): Map<string, string> {
  return new Map(
    status.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]),
  );
}

/** What setns(2) takes to enter a process's namespace. */
export function namespacePath(pid: number | "self", kind: NamespaceKind): string {
  return `/proc/${pid}/ns/${kind}`;
}

/** The inode that identifies a process's namespace; undefined when the process has ended, or is another user's. */
export function namespaceOf(pid: number | "self", kind: NamespaceKind): number | undefined {
  try {
    return statSync(namespacePath(pid, kind)).ino;
  } catch {
    return undefined;
  }
}

/** Names in a folder; none when it is gone, or not ours to read. */
export function* namesIn(path: string): Generator<string, void> {
  try {
    const folder = opendirSync(path, { bufferSize: 256 });
    try {
      for (let entry = folder.readSync(); entry; entry = folder.readSync()) yield entry.name;
    } finally {
      folder.closeSync();
    }
  } catch {
    // the process has ended, or is another user's
  }
}
