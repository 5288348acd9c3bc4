import { readdirSync, rmSync } from "node:fs";
import { join, normalize } from "node:path";
import { faultOfFolder } from "../../common/own-folder.js";
import { FileLock, lockFolder } from "../../linux/file-lock.js";
import type { Inventory } from "../inventory/inventory.js";
import { leftoverTables, removeTables } from "../names/leftovers.js";
import { dnsFiles, dnsServer } from "../names/program.js";
import { proxyFiles, proxyServer } from "../ports/program.js";
import { filesOfEnded, socketsOf, strayServers, unansweredSockets } from "../supervisor/leftovers.js";
import type { DaemonFacts, LeftoverFacts } from "./facts.js";

/** Looks for what earlier daemons and servers left behind. Touches nothing. */
export async function probeLeftovers(
  runDir: string,
  daemon: DaemonFacts,
  inventory: Inventory | undefined,
  isRoot: boolean,
): Promise<LeftoverFacts> {
  return {
    tables: isRoot
      ? { kind: "seen", value: await leftoverTables(inventory) }
      : { kind: "unseen", reason: "that needs root" },
    files: [...(daemon.kind === "none" ? await leftoverFiles(runDir) : []), ...leftoverLocks()],
    servers:
      daemon.kind === "running" || daemon.kind === "none"
        ? await strayServers(dnsServer, daemon.kind === "running" ? daemon.dns.pid : undefined)
        : [],
  };
}

/** Removes what {@link probeLeftovers} found, but no process. @returns what was removed, for people to read */
export async function removeLeftovers({ tables, files }: LeftoverFacts): Promise<string[]> {
  const removed = tables.kind === "seen" ? await removeTables(tables.value) : [];
  for (const path of files) rmSync(path, { force: true });
  return [...removed, ...files];
}

/** Files of a run directory in which no daemon runs; those of a server that goes on are in use. */
async function leftoverFiles(runDir: string): Promise<string[]> {
  if (faultOfFolder(runDir) !== undefined) return []; // no daemon was there, and others could have us remove what they like
  const [dns, proxy] = [dnsFiles(runDir), proxyFiles(runDir)];
  const sockets = [join(runDir, "control.sock"), join(runDir, "plugin.sock"), ...socketsOf(dns), ...socketsOf(proxy)];
  const found = [
    ...(await unansweredSockets(sockets)),
    ...filesOfEnded(dnsServer, dns),
    ...filesOfEnded(proxyServer, proxy),
  ];
  return found.map(normalize);
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
