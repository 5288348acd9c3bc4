import { readdirSync, readFileSync, statSync } from "node:fs";
import { readdir, readFile, readlink, realpath } from "node:fs/promises";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import type { DockerAddress } from "../docker/address.js";
import type { Engine } from "../docker/engine.js";
import { refusalOf, type DockerdPlace } from "../docker/place.js";
import { errorCode } from "../errors.js";
import { closeDescriptor, connectUnix, peerCredentials, streamSocket } from "../linux/socket.js";

const init = "1";

/**
 * Where the dockerd behind an address runs, as this process sees it.
 * @returns undefined when nobody listens there now, or systemd alone does
 */
export async function placeOfDockerd(address: DockerAddress): Promise<DockerdPlace | undefined> {
  if (address.kind !== "unix") return placeByName(address.host);
  if (await isAsleep(address.path)) return undefined;
  const listener = listenerOf(address.path);
  if (listener === undefined) return undefined;
  if (listener === 0) return { kind: "unseen" }; // of a pid namespace that is not below ours
  return commandOf(listener) === "dockerd" ? placeOf(listener) : placeOfOnly();
}

/** A name may be one of this machine; of a dockerd elsewhere no container passes for one of ours. */
function placeByName(host: string): DockerdPlace {
  if (host === "localhost" || host.startsWith("127.") || host === "::1" || host === hostname()) return placeOfOnly();
  if (isIP(host) === 0) return { kind: "untold" };
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === host)) ? placeOfOnly() : { kind: "remote" };
}

/** Why a dockerd is not served from here, in one sentence; undefined when it is. Asks dockerd only when it must. */
export async function refusalAt(engine: Engine, place: DockerdPlace): Promise<string | undefined> {
  const mayBeRootless = place.kind === "seen" && place.shares.pid && !place.shares.net;
  return refusalOf(engine.host, place, mayBeRootless && (await engine.info()).rootless);
}

/** Under systemd's socket activation the listener is systemd, and it may be a proxy: then the one dockerd there is is meant. */
function placeOfOnly(): DockerdPlace {
  const own = namespaceOf("self", "pid");
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && commandOf(Number(name)) === "dockerd" && namespaceOf(name, "pid") === own);
  return all.length === 1 ? placeOf(Number(all[0])) : { kind: "untold" };
}

function placeOf(pid: number): DockerdPlace {
  const shares = (kind: "pid" | "net" | "mnt") => {
    const theirs = namespaceOf(pid, kind);
    return theirs === undefined || theirs === namespaceOf("self", kind); // unreadable without root: then nothing is done either
  };
  return { kind: "seen", pid, shares: { pid: shares("pid"), net: shares("net"), mnt: shares("mnt") } };
}

function namespaceOf(pid: number | string, kind: "pid" | "net" | "mnt"): number | undefined {
  try {
    return statSync(`/proc/${pid}/ns/${kind}`).ino;
  } catch {
    return undefined;
  }
}

/**
 * Whether a unix socket is held by systemd alone. A connection would start dockerd then, which somebody may just have
 * stopped. A running dockerd holds the socket too.
 */
export async function isAsleep(path: string): Promise<boolean> {
  if (commandOf(Number(init)) !== "systemd") return false; // in a container, process 1 may be dockerd itself
  const names = await listenersAt(path);
  if (names.size === 0 || !(await holds(init, names))) return false;
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name) && name !== init);
  const isLikely = (pid: string) => commandOf(Number(pid)) === "dockerd";
  for (const pid of [...processes.filter(isLikely), ...processes.filter((pid) => !isLikely(pid))]) if (await holds(pid, names)) return false;
  return true;
}

/** Sockets that listen at a path, as `/proc/PID/fd` names them. */
async function listenersAt(path: string): Promise<Set<string>> {
  const wanted = await realpath(path).catch(() => path); // not there at the moment
  const names = new Set<string>();
  for (const line of (await readFile("/proc/self/net/unix", "utf8")).split("\n")) {
    // Num RefCount Protocol Flags Type St Inode Path; unix(7), and __SO_ACCEPTCON of linux/net.h
    const [, , , flags = "", , , inode = "", bound = ""] = line.split(/\s+/);
    if ((parseInt(flags, 16) & 0x10000) !== 0 && (bound === wanted || (await realpath(bound).catch(() => bound)) === wanted)) names.add(`socket:[${inode}]`);
  }
  return names;
}

async function holds(pid: string, sockets: ReadonlySet<string>): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const descriptors = await readdir(folder).catch(() => []); // it has just ended
  for (const descriptor of descriptors) if (sockets.has(await readlink(`${folder}/${descriptor}`).catch(() => ""))) return true;
  return false;
}

/** @returns 0 for a process this one cannot see */
function listenerOf(path: string): number | undefined {
  const fd = streamSocket();
  try {
    connectUnix(fd, path);
    return peerCredentials(fd).pid;
  } catch (error) {
    if (errorCode(error) === "EAGAIN") return peerOfNobody; // it is there, and busy
    return undefined; // not there at the moment
  } finally {
    closeDescriptor(fd);
  }
}

/** A pid no process has: the one dockerd there is is looked for. */
const peerOfNobody = -1;

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return ""; // just ended
  }
}
