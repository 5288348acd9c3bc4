// Sockets and who holds them, from /proc. There may be hundreds of thousands, so everything is done in pieces, and for many at once.
import { readlinkSync } from "node:fs";
import { decodeIP, type SocketAddress } from "../common/address.js";
import type { Pieces } from "./pieces.js";
import { eachLine, namesIn } from "./proc.js";

/** Descriptors looked at in one piece. */
const descriptorsInPiece = 64;
/** Of all processes together. */
const descriptorsAtMost = 2_000_000;
/** `__SO_ACCEPTCON` of linux/net.h, among the flags of a unix socket. */
const listeningFlag = 0x10000;

/** How the kernel numbers the state of a socket that waits for clients: TCP listens, UDP is not connected. */
export const waitingState = { tcp: 0x0a, udp: 0x07 } as const;

/** A socket that is bound to an address. */
export interface BoundSocket {
  readonly address: SocketAddress;
  /** As the kernel numbers them; see {@link waitingState}. */
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
    address: { ip: decodeIP(bytes), port },
    state: parseInt(state, 16),
    inode: Number(inode),
  };
}

/**
 * Unix sockets of our network namespace that listen, by the names they were bound to; of a name with a blank, what is before it.
 * A name may hold a line feed, so that its end passes for another socket.
 */
export function* listeningUnixSockets(
  found: (path: string, inode: number) => void,
  table = "/proc/self/net/unix",
): Pieces<void> {
  yield* eachLine(table, (line) => {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, , , flags = "", , , inode = "", path = ""] = line.trim().split(/ +/, 8);
    if ((parseInt(flags, 16) & listeningFlag) !== 0) found(path, Number(inode));
  });
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
    for (const name of namesIn(`/proc/${pid}/fd`)) {
      if (++looked > descriptorsAtMost) return;
      if (looked % descriptorsInPiece === 0) yield;
      const inode = inodeOfLink(`/proc/${pid}/fd/${name}`);
      if (inode !== undefined && inodes.has(inode) && found(inode, pid) === true) return;
    }
    yield;
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
