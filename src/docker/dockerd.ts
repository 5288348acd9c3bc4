import { realpath } from "node:fs/promises";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { basename } from "node:path";
import { isLoopback } from "../../common/address.js";
import { commandOf, namespaceOf, processes } from "../../linux/proc.js";
import type { DockerAddress } from "./address.js";
import type { Engine } from "./engine.js";
import { refusalOf, type DockerdPlace } from "./place.js";
import { errorCode } from "../../common/errors.js";
import { inSlices, type Pieces } from "../../linux/pieces.js";
import { eachHolder, listeningUnixSockets } from "../../linux/proc-sockets.js";
import { closeDescriptor, connectUnix, peerCredentials, streamSocket } from "../../linux/socket.js";

const init = 1;
/** Paths that end as dockerd's socket does: programs of anybody may listen at other sockets with that name. */
const placesAtMost = 100;

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

/** The name may be this machine's. If it is not, no container there passes for one of ours. */
async function placeByName(host: string): Promise<DockerdPlace> {
  if (host === "localhost" || isLoopback(host) || host === hostname()) return placeOfOnly();
  if (isIP(host) === 0) return { kind: "untold" };
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === host))
    ? placeOfOnly()
    : { kind: "remote" };
}

/** Why a dockerd is not served from here, in one sentence; undefined when it is. Asks dockerd only when it must. */
export async function refusalAt(engine: Engine, place: DockerdPlace): Promise<string | undefined> {
  const mayBeRootless = place.kind === "seen" && place.shares.pid && !place.shares.net;
  return refusalOf(engine.host, place, mayBeRootless && (await engine.info()).rootless);
}

/** The listener may be systemd (socket activation) or a proxy. Then the dockerd is meant if just one runs. */
async function placeOfOnly(): Promise<DockerdPlace> {
  const [only, ...others] = await inSlices(dockerds(namespaceOf("self", "pid")));
  return only !== undefined && others.length === 0 ? placeOf(only) : { kind: "untold" };
}

function* dockerds(pidNamespace: number | undefined): Pieces<number[]> {
  const found: number[] = [];
  for (const pid of yield* processes()) {
    if (commandOf(pid) === "dockerd" && namespaceOf(pid, "pid") === pidNamespace) found.push(pid);
    yield;
  }
  return found;
}

function placeOf(pid: number): DockerdPlace {
  const shares = (kind: "pid" | "net" | "mnt") => {
    const theirs = namespaceOf(pid, kind);
    return theirs === undefined || theirs === namespaceOf("self", kind); // unreadable without root: then nothing is done either
  };
  return { kind: "seen", pid, shares: { pid: shares("pid"), net: shares("net"), mnt: shares("mnt") } };
}

/**
 * Whether a unix socket is held by systemd alone. A connection would start dockerd then, which somebody may just have
 * stopped. A running dockerd holds the socket too.
 */
export async function isAsleep(path: string): Promise<boolean> {
  if (commandOf(init) !== "systemd") return false; // in a container, process 1 may be dockerd itself
  const inodes = await listenersAt(path);
  if (inodes.size === 0 || !(await isHeldBy([init], inodes))) return false;
  const others = (await inSlices(processes())).filter((pid) => pid !== init);
  const isLikely = (pid: number) => commandOf(pid) === "dockerd";
  const likely = others.filter(isLikely);
  return !(await isHeldBy(likely, inodes)) && !(await isHeldBy(others, inodes));
}

/** Inodes of the sockets that listen at a path, by whatever links it is named. */
async function listenersAt(path: string): Promise<Set<number>> {
  const wanted = await realpath(path).catch(() => path); // not there at the moment
  const bound = new Map<string, number[]>();
  await inSlices(
    listeningUnixSockets((place, inode) => {
      if (place !== wanted && basename(place) !== basename(wanted)) return;
      const known = bound.get(place);
      if (known) known.push(inode);
      else if (bound.size < placesAtMost || place === wanted) bound.set(place, [inode]);
    }),
  );
  const inodes = new Set(bound.get(wanted));
  for (const [place, numbers] of bound)
    if ((await realpath(place).catch(() => place)) === wanted) numbers.forEach((inode) => inodes.add(inode));
  return inodes;
}

async function isHeldBy(pids: readonly number[], inodes: ReadonlySet<number>): Promise<boolean> {
  let isHeld = false;
  await inSlices(eachHolder(pids, inodes, () => (isHeld = true)));
  return isHeld;
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

/** A pid that no process has: then the only dockerd is looked for. */
const peerOfNobody = -1;
