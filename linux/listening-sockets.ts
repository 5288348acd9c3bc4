import { errorCode } from "../common/errors.js";
import { inSlices, type Pieces } from "./pieces.js";
import { commandOf, processes } from "./proc.js";
import { boundSockets, eachHolder, waitingState } from "./proc-sockets.js";

/** A socket that waits for queries: UDP bound and not connected, or TCP listening. */
export interface Listener {
  readonly transport: "udp" | "tcp";
  readonly ip: string;
  readonly port: number;
  readonly inode: number;
}

/** A process that holds a listener; undefined fields could not be seen. */
export interface Holder {
  readonly pid: number | undefined;
  readonly command: string | undefined;
  readonly listeners: readonly Pick<Listener, "transport" | "ip" | "port">[];
}

const files = [
  ["udp", "udp"],
  ["udp", "udp6"],
  ["tcp", "tcp"],
  ["tcp", "tcp6"],
] as const;
/** A namespace with more of them on one port is somebody's jest. */
const listenersAtMost = 1000;

/** The listeners at a port in a process's network namespace. Rejects with ENOENT when the process is gone. */
export function listenersAt(port: number, pid: number | "self"): Promise<Listener[]> {
  return inSlices(listenersIn(`/proc/${pid}/net`, port));
}

/** @param folder with the files udp, tcp and their IPv6 siblings */
export function* listenersIn(folder: string, port: number): Pieces<Listener[]> {
  const listeners: Listener[] = [];
  for (const [transport, file] of files) {
    try {
      yield* boundSockets(
        `${folder}/${file}`,
        (other) => other === port,
        ({ address, state, inode }) => {
          if (state === waitingState[transport] && listeners.length < listenersAtMost)
            listeners.push({ transport, ...address, inode });
        },
      );
    } catch (error) {
      if (errorCode(error) !== "ENOENT" || !file.endsWith("6")) throw error; // a kernel without IPv6
    }
  }
  return listeners;
}

/** Finds the processes that hold sockets, by looking through the descriptors of every process once for all of them. */
export async function holdersOf(listeners: readonly Listener[]): Promise<Map<number, number>> {
  const owners = new Map<number, number>();
  const wanted = new Set(listeners.map(({ inode }) => inode));
  if (wanted.size > 0)
    await inSlices(
      eachHolder(await inSlices(processes()), wanted, (inode, pid) => {
        if (!owners.has(inode)) owners.set(inode, pid);
        return owners.size === wanted.size;
      }),
    );
  return owners;
}

/** @param owners as {@link holdersOf} tells */
export function heldBy(listeners: readonly Listener[], owners: ReadonlyMap<number, number>): Holder[] {
  const pids = [...new Set(listeners.map(({ inode }) => owners.get(inode)))];
  return pids.map((pid) => ({
    pid,
    command: pid === undefined ? undefined : commandOf(pid),
    listeners: listeners
      .filter(({ inode }) => owners.get(inode) === pid)
      .map(({ transport, ip, port }) => ({ transport, ip, port })),
  }));
}
