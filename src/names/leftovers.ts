// What takeovers may leave behind: tables in namespaces of containers that no server serves any more.
import { describeError, errorCode } from "../../common/errors.js";
import { RESOLVER_ADDRESS } from "../../dns/protocol.js";
import { listenersAt } from "../../linux/listening-sockets.js";
import { namespaceInode, ownNamespacePath } from "../../linux/netns.js";
import { inSlices } from "../../linux/pieces.js";
import { namespaceOf, namespacePath, processes } from "../../linux/proc.js";
import type { Inventory } from "../inventory/inventory.js";
import { removeLeftover, takeoverOf } from "./takeovers/namespace-rules.js";

/** For looking into namespaces, ms: anybody may make thousands. */
const lookingTime = 5000;

/** Tables in namespaces in which no server listens at the port they lead to. */
export interface LeftoverTables {
  readonly found: readonly LeftoverTable[];
  readonly unread: readonly UnreadNamespace[];
}

/** A network namespace that could not be looked into. */
export interface UnreadNamespace {
  /** A process in it. */
  readonly pid: number;
  readonly container: string | undefined;
  readonly reason: string;
}

export interface LeftoverTable {
  /** A process in the namespace. */
  readonly pid: number;
  readonly inode: number;
  /** The container's name, when it is one of this dockerd's. */
  readonly container: string | undefined;
  /** Still in effect: its seconds are not over yet. */
  readonly armed: boolean;
}

/** Every namespace that some process lives in is looked at: a container that dockerd has forgotten counts too. */
export async function leftoverTables(inventory: Inventory | undefined): Promise<LeftoverTables> {
  const own = namespaceInode(ownNamespacePath);
  const names = new Map<number, string>();
  for (const { sandbox, name } of inventory?.containers.values() ?? []) {
    const inode = sandbox?.kind === "process" ? namespaceOf(sandbox.pid, "net") : sandbox?.inode;
    if (inode !== undefined) names.set(inode, name);
  }
  const found: LeftoverTable[] = [];
  const unread: UnreadNamespace[] = [];
  const until = performance.now() + lookingTime;
  for (const [inode, pid] of await namespaces()) {
    if (inode === own) continue;
    const unseen = (reason: string) => unread.push({ pid, container: names.get(inode), reason });
    if (performance.now() > until) {
      unseen("there are too many network namespaces to look into all");
      continue;
    }
    try {
      const takeover = await takeoverOf(namespacePath(pid, "net"), inode);
      if (takeover && !(await isServed(pid, takeover.port)))
        found.push({ pid, inode, container: names.get(inode), armed: takeover.armed });
    } catch (error) {
      if (errorCode(error) === "ENOENT" || errorCode(error) === "ESRCH" || namespaceOf(pid, "net") !== inode) continue; // it has just ended
      unseen(describeError(error)); // one of somebody who makes it hard to look at is no reason to look at no other
    }
  }
  return { found, unread };
}

async function isServed(pid: number, port: number): Promise<boolean> {
  return (await listenersAt(port, pid)).some(({ transport, ip }) => transport === "udp" && ip === RESOLVER_ADDRESS);
}

/** Network namespaces by inode, each with a process that lives in it. */
async function namespaces(): Promise<Map<number, number>> {
  const known = new Map<number, number>();
  for (const pid of await inSlices(processes())) {
    const inode = namespaceOf(pid, "net");
    if (inode !== undefined && !known.has(inode)) known.set(inode, pid);
  }
  return known;
}

/** Removes tables. @returns what was removed, for people to read */
export async function removeTables({ found }: LeftoverTables): Promise<string[]> {
  const removed: string[] = [];
  for (const { pid, inode, container } of found) {
    const place = container ?? `the network namespace of process ${pid}`;
    try {
      await removeLeftover(namespacePath(pid, "net"), inode);
      removed.push(`table pontoon in ${place}`);
    } catch (error) {
      if (errorCode(error) !== "RULES_BUSY") throw error;
      // It is found, and told, when everything is looked at once more.
    }
  }
  return removed;
}
