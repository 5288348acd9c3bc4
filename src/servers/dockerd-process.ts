import { readdirSync, readFileSync } from "node:fs";
import { closeDescriptor, connectUnix, peerCredentials, streamSocket } from "../linux/socket.js";

/**
 * The process id of the dockerd behind an address, as this process sees it.
 * @returns undefined when it cannot be told: no dockerd, or one reached over TCP
 */
export function findDockerd(dockerHost: string): number | undefined {
  const path = dockerHost.startsWith("unix://") ? dockerHost.slice("unix://".length) : dockerHost.startsWith("/") ? dockerHost : undefined;
  if (path === undefined) return undefined;
  const listener = listenerOf(path);
  if (listener !== undefined && commandOf(listener) === "dockerd") return listener;
  // Under systemd's socket activation the listener is systemd: then the one dockerd of this pid namespace is meant.
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && commandOf(Number(name)) === "dockerd");
  return all.length === 1 ? Number(all[0]) : undefined;
}

function listenerOf(path: string): number | undefined {
  const fd = streamSocket();
  try {
    connectUnix(fd, path);
    return peerCredentials(fd).pid;
  } catch {
    return undefined; // not there at the moment
  } finally {
    closeDescriptor(fd);
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return ""; // just ended
  }
}
