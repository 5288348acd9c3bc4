import { readdirSync, readFileSync, statSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import type { Engine } from "../docker/engine.js";
import { refusalOf, type DockerdPlace } from "../docker/place.js";
import { errorCode } from "../errors.js";
import { closeDescriptor, connectUnix, peerCredentials, streamSocket } from "../linux/socket.js";

/**
 * Where the dockerd behind an address runs, as this process sees it.
 * @returns undefined when nobody listens there now
 */
export function placeOfDockerd(dockerHost: string): DockerdPlace | undefined {
  const path = dockerHost.startsWith("unix://") ? dockerHost.slice("unix://".length) : dockerHost.startsWith("/") ? dockerHost : undefined;
  if (path === undefined) return isHere(dockerHost) ? placeOfOnly() : { kind: "remote" };
  const listener = listenerOf(path);
  if (listener === undefined) return undefined;
  if (listener === 0) return { kind: "unseen" }; // of a pid namespace that is not below ours
  return commandOf(listener) === "dockerd" ? placeOf(listener) : placeOfOnly();
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

/** Whether a TCP address is one of this machine's. */
function isHere(dockerHost: string): boolean {
  const host = /^\w+:\/\/(?:[^/@]*@)?(\[[^\]]+\]|[^:/]+)/.exec(dockerHost)?.[1]?.replace(/^\[|\]$/g, "") ?? "";
  if (host === "localhost" || host === hostname() || host.startsWith("127.")) return true;
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === host));
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
