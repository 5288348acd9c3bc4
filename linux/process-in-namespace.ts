import { readdirSync, readlinkSync } from "node:fs";
import { setImmediate as others } from "node:timers/promises";

/** Processes that are looked at, at most. */
const processesAtMost = 20_000;
/** … before others have their turn: a millisecond's worth. */
const atOnce = 200;

/**
 * The first process of a network namespace: the one there with the lowest number; undefined when there is none. Others may be
 * there for a moment, such as programs that change rules for a container that starts. Some 5 µs for each process of the host.
 */
export async function processIn(inode: number): Promise<number | undefined> {
  const wanted = `net:[${inode}]`;
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((one, other) => one - other)
    .slice(-processesAtMost);
  for (const [index, pid] of pids.entries()) {
    if (index % atOnce === atOnce - 1) await others();
    if (namespaceOf(pid) === wanted) return pid;
  }
  return undefined;
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined; // it has ended
  }
}
