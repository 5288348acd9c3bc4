// Sockets and who holds them, from /proc. There may be hundreds of thousands, so everything is done in pieces, and for many at once.
import { closeSync, opendirSync, openSync, readlinkSync, readSync } from "node:fs";
import type { SocketAddress } from "./address.js";
import { decodeIPv4, decodeIPv6 } from "./address.js";
import type { Pieces } from "./pieces.js";

/** Bytes read in one piece; some 400 sockets. */
const pieceSize = 64 << 10;
/** Of one file; the kernel has no limit of its own. */
const tableAtMost = 128 << 20;
/** Descriptors looked at in one piece. */
const descriptorsInPiece = 64;
/** Of all processes together. */
const descriptorsAtMost = 2_000_000;
/** A file of `/proc` about one process, bytes. */
const aboutProcessAtMost = 16 << 10;

/** A socket that is bound to an address. */
export interface BoundSocket {
  readonly address: SocketAddress;
  /** As the kernel numbers them: TCP listens at 0x0A, UDP is unconnected at 0x07. */
  readonly state: number;
  readonly inode: number;
}

/**
 * Reads one of /proc/PID/net/{udp,tcp} and their IPv6 siblings. Throws ENOENT when there is none.
 * @param wants whether sockets of a port matter: of others nothing more is read
 */
export function* boundSockets(
  path: string,
  wants: (port: number) => boolean,
  found: (socket: BoundSocket) => void,
): Pieces<void> {
  yield* eachLine(path, (line) => {
    const socket = boundSocket(line, wants);
    if (socket) found(socket);
  });
}

/**
 * @param line `sl local remote st tx:rx tr:tm retrnsmt uid timeout inode …`, the addresses as 32-bit words of the machine's
 *   order, which is little-endian
 */
function boundSocket(line: string, wants: (port: number) => boolean): BoundSocket | undefined {
  const [, local = "", , state = "", , , , , , inode = ""] = line.trim().split(/ +/, 10);
  const colon = local.indexOf(":");
  const port = parseInt(local.slice(colon + 1), 16);
  if (colon < 8 || !wants(port)) return undefined;
  const bytes = Buffer.from(local.slice(0, colon), "hex").swap32();
  return {
    address: { ip: bytes.length === 4 ? decodeIPv4(bytes, 0) : decodeIPv6(bytes, 0), port },
    state: parseInt(state, 16),
    inode: Number(inode),
  };
}

/** Reads a file of /proc line by line, its headline left out. */
export function* eachLine(path: string, found: (line: string) => void): Pieces<void> {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.allocUnsafe(pieceSize);
    let rest = "";
    let isHeadline = true;
    for (let total = 0; total < tableAtMost; yield) {
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
  for (const name of entries("/proc")) {
    if (/^\d{1,10}$/.test(name)) pids.push(Number(name));
    if (pids.length % descriptorsInPiece === 0) yield;
  }
  return pids;
}

/**
 * Looks through the descriptors of processes for sockets.
 * @param found told of each that a process holds; says whether enough is known
 */
export function* eachHolder(
  pids: Iterable<number>,
  inodes: ReadonlySet<number>,
  found: (inode: number, pid: number) => boolean | undefined,
): Pieces<void> {
  let looked = 0;
  for (const pid of pids) {
    for (const name of entries(`/proc/${pid}/fd`)) {
      if (++looked > descriptorsAtMost) return;
      if (looked % descriptorsInPiece === 0) yield;
      const inode = inodeOfLink(`/proc/${pid}/fd/${name}`);
      if (inode !== undefined && inodes.has(inode) && found(inode, pid) === true) return;
    }
    yield;
  }
}

/** What a file about a process says, or its beginning; undefined when it has ended, or the file is not ours to read. */
export function aboutProcess(pid: number, name: string): string | undefined {
  try {
    const file = openSync(`/proc/${pid}/${name}`, "r");
    try {
      const bytes = Buffer.allocUnsafe(aboutProcessAtMost);
      return bytes.toString("utf8", 0, readSync(file, bytes));
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

/** A process's name as `ps` shows it; undefined when it has ended. */
export function commandOf(pid: number): string | undefined {
  return aboutProcess(pid, "comm")?.trim();
}

/** Names in a folder; none when it is gone, or not ours to read. */
function* entries(path: string): Generator<string, void> {
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

function inodeOfLink(path: string): number | undefined {
  try {
    const link = readlinkSync(path);
    return link.startsWith("socket:[") ? Number(link.slice(8, -1)) : undefined;
  } catch {
    return undefined; // closed meanwhile
  }
}
