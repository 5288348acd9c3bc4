import { bracketed, familyOf, isUnspecified, overlap, type SocketAddress } from "../common/address.js";
import { argumentsOf, commandOf, processes } from "./proc.js";
import type { Pieces } from "./pieces.js";
import { boundSockets, eachHolder, waitingState, type BoundSocket } from "./proc-sockets.js";

/** The process that holds a port. */
export interface PortHolder {
  readonly pid: number;
  readonly name: string;
  /** Where it leads the port, if it is a docker-proxy. */
  readonly publishes: string | undefined;
}

/** A port that could not be bound, since somebody has it. */
export interface TakenPort {
  readonly protocol: "tcp" | "udp";
  readonly address: SocketAddress;
}

/**
 * Who keeps addresses from being bound, from /proc; undefined for each of which that cannot be seen from here. It looks
 * at every descriptor of every process, once for all of them.
 */
export function* holdersOfPorts(taken: readonly TakenPort[]): Pieces<(PortHolder | undefined)[]> {
  const inTheWay = yield* socketsInTheWay(taken);
  const inodes = new Set(inTheWay.filter((inode) => inode !== undefined));
  const pids = new Map<number, number[]>();
  if (inodes.size > 0)
    yield* eachHolder(yield* processes(), inodes, (inode, pid) => {
      const known = pids.get(inode);
      if (!known) pids.set(inode, [pid]);
      else if (known.length < holdersAtMost && known.at(-1) !== pid) known.push(pid);
      return undefined;
    });
  const described = new Map<number, PortHolder>();
  const holders: (PortHolder | undefined)[] = [];
  for (const inode of inTheWay) {
    holders.push(
      mostTelling((pids.get(inode ?? -1) ?? []).map((pid) => described.get(pid) ?? remember(described, describe(pid)))),
    );
    yield;
  }
  return holders;
}

/** Of one socket. */
const holdersAtMost = 16;

function remember(described: Map<number, PortHolder>, holder: PortHolder): PortHolder {
  described.set(holder.pid, holder);
  return holder;
}

/** Others hold the socket on behalf of the one that publishes it, or serves it. */
function mostTelling(holders: readonly PortHolder[]): PortHolder | undefined {
  return (
    holders.find(({ publishes }) => publishes !== undefined) ??
    holders.find(({ name }) => name.startsWith("pontoon-")) ??
    holders[0]
  );
}

/** As error messages have it, e.g. ` (held by nginx, pid 4711)`. */
export function holderText(holder: PortHolder | undefined): string {
  if (!holder) return " (held by a process that cannot be seen from here)";
  return ` (held by ${holder.name}, pid ${holder.pid}${holder.publishes === undefined ? "" : `, which publishes ${holder.publishes} there`})`;
}

/** One that listens, else any. */
function* socketsInTheWay(taken: readonly TakenPort[]): Pieces<(number | undefined)[]> {
  const found: (BoundSocket | undefined)[] = taken.map(() => undefined);
  for (const protocol of ["tcp", "udp"] as const)
    for (const family of ["", "6"]) {
      const byPort = new Map<number, number[]>();
      // A socket of IPv6 may serve IPv4 as well.
      for (const [index, { protocol: own, address }] of taken.entries())
        if (own === protocol && (family === "6" || familyOf(address.ip) === "ipv4"))
          byPort.set(address.port, [...(byPort.get(address.port) ?? []), index]);
      if (byPort.size === 0) continue;
      yield* readTable(
        `/proc/self/net/${protocol}${family}`,
        (port) => byPort.has(port),
        (socket) => {
          for (const index of byPort.get(socket.address.port)!) {
            const isBetter =
              found[index] === undefined || (protocol === "tcp" && listens(socket) && !listens(found[index]));
            if (isBetter && socket.inode !== 0 && clashes(socket.address.ip, taken[index]!.address.ip))
              found[index] = socket;
          }
        },
      );
    }
  return found.map((socket) => socket?.inode);
}

function* readTable(
  path: string,
  wants: (port: number) => boolean,
  found: (socket: BoundSocket) => void,
): Pieces<void> {
  try {
    yield* boundSockets(path, wants, found);
  } catch {
    // no such table without IPv6
  }
}

function listens({ state }: BoundSocket): boolean {
  return state === waitingState.tcp;
}

function clashes(held: string, wanted: string): boolean {
  return isUnspecified(held) || overlap(held, wanted);
}

function describe(pid: number): PortHolder {
  const words = argumentsOf(pid);
  const [started = ""] = words;
  const argument = (flag: string) => (words.includes(flag) ? words[words.indexOf(flag) + 1] : undefined);
  const [ip, port] = [argument("-container-ip"), argument("-container-port")];
  const publishes = ip === undefined || port === undefined ? undefined : `${bracketed(ip)}:${port}`;
  const comm = commandOf(pid) ?? "";
  const program = started.split("/").at(-1)!;
  // The kernel keeps 15 letters of a name, and Node from 24 on calls its main thread so; a server of ours names itself in its first argument.
  const isCut = (comm.length === 15 && program.startsWith(comm)) || /^(node-)?MainThread$/.test(comm);
  return { pid, name: program !== "" && (isCut || started.startsWith("pontoon-")) ? program : comm, publishes };
}
