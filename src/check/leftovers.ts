import { readdirSync, realpathSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { removeLeftover, takeoverOf } from "../names/takeovers/namespace-rules.js";
import { describeError, errorCode } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import { argumentsOf, namespaceOf, namespacePath, processes } from "../../linux/proc.js";
import { listeningUnixSockets } from "../../linux/proc-sockets.js";
import { FileLock, lockFolder } from "../../linux/file-lock.js";
import { namespaceInode, ownNamespacePath } from "../../linux/netns.js";
import { inSlices } from "../../linux/pieces.js";
import { faultOfFolder } from "../../common/own-folder.js";
import { dnsServer } from "../names/program.js";
import { proxyServer } from "../ports/program.js";
import { isServer, pidOfServer, type ServerProgram } from "../supervisor/process.js";
import { RESOLVER_ADDRESS } from "../../dns/protocol.js";
import type { DaemonFacts, LeftoverFacts, LeftoverTable, UnreadNamespace } from "./facts.js";
import { listenersAt } from "./sockets.js";

/** The end of a socket's first name, which it bears there for ever. */
const placed = /\.new$/;
/** For looking into namespaces, ms: anybody may make thousands. */
const lookingTime = 5000;
const socketNames = ["control.sock", "dns.sock", "proxy.sock", "proxy-control.sock"];

/** Looks for what earlier daemons and servers left behind. Touches nothing. */
export async function probeLeftovers(
  runDir: string,
  daemon: DaemonFacts,
  inventory: Inventory | undefined,
  isRoot: boolean,
): Promise<LeftoverFacts> {
  return {
    tables: isRoot ? await leftoverTables(inventory) : { kind: "unseen", reason: "that needs root" },
    files: [...(daemon.kind === "none" ? await leftoverFiles(runDir) : []), ...leftoverLocks()],
    servers:
      daemon.kind === "running" || daemon.kind === "none"
        ? await orphans(daemon.kind === "running" ? daemon.dns.pid : undefined)
        : [],
  };
}

/** Removes what {@link probeLeftovers} found, but no process. @returns what was removed, for people to read */
export async function removeLeftovers({ tables, files }: LeftoverFacts): Promise<string[]> {
  const removed: string[] = [];
  if (tables.kind === "seen")
    for (const { pid, inode, container } of tables.value.found) {
      const place = container ?? `the network namespace of process ${pid}`;
      try {
        await removeLeftover(namespacePath(pid, "net"), inode);
        removed.push(`table pontoon in ${place}`);
      } catch (error) {
        if (errorCode(error) !== "RULES_BUSY") throw error;
        // It is found, and told, when everything is looked at once more.
      }
    }
  for (const path of files) {
    rmSync(path, { force: true });
    removed.push(path);
  }
  return removed;
}

/** Every namespace that some process lives in is looked at: a container that dockerd has forgotten counts too. */
async function leftoverTables(inventory: Inventory | undefined): Promise<LeftoverFacts["tables"]> {
  const own = namespaceInode(ownNamespacePath);
  const names = new Map<number, string>();
  for (const { sandbox, name } of inventory?.containers.values() ?? []) {
    const inode = sandbox && namespaceOf(sandbox.pid, "net");
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
  return { kind: "seen", value: { found, unread } };
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

/** Files of a run directory in which no daemon runs; those of a server that goes on are in use. */
async function leftoverFiles(runDir: string): Promise<string[]> {
  if (faultOfFolder(runDir) !== undefined) return []; // no daemon was there, and others could have us remove what they like
  const answered = await listeningSockets();
  const sockets = socketNames.filter((name) => !answered.has(real(join(runDir, name))));
  const ofServer = (program: ServerProgram, name: string) =>
    pidOfServer(program, join(runDir, `${name}.pid`)) === undefined ? [`${name}.pid`, `${name}.log`] : [];
  return [...sockets, ...ofServer(dnsServer, "dns"), ...ofServer(proxyServer, "proxy")]
    .map((name) => join(runDir, name))
    .filter(exists);
}

/** Paths of our unix sockets that somebody listens at. A connection would tell too, but pontoon-dns obeys whoever connects last. */
async function listeningSockets(): Promise<Set<string>> {
  const found = new Set<string>();
  await inSlices(
    listeningUnixSockets((path) => {
      const place = path.replace(placed, "");
      if (place.startsWith("/") && socketNames.includes(basename(place))) found.add(real(place));
    }),
  );
  return found;
}

function leftoverLocks(): string[] {
  const folder = lockFolder();
  const names = readdirSync(folder).filter((name) => /^pontoon-[0-9a-f]{8}\.lock$/.test(name));
  return names.map((name) => join(folder, name)).filter(isFreeLock);
}

function isFreeLock(path: string): boolean {
  try {
    return !FileLock.isHeld(path);
  } catch {
    return false; // gone meanwhile, or not this user's to open
  }
}

/** pontoon-dns processes other than the one a daemon steers; those of another pid namespace are another pontoon's. */
async function orphans(steered: number | undefined): Promise<number[]> {
  const own = namespaceOf("self", "pid");
  return (await inSlices(processes())).filter(
    (pid) =>
      pid !== steered &&
      isServer(dnsServer, pid) &&
      argumentsOf(pid)[0] === dnsServer.name &&
      (namespaceOf(pid, "pid") ?? own) === own,
  );
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** With the links in its folder's path followed, so that two spellings of one path are one. */
function real(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path; // another mount namespace's
  }
}
