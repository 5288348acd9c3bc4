import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import type { DockerHost, Pontoon } from "../../integration/lab/index.js";

/** What pontoon and Docker consist of. */
export const kinds = [
  "pontoon daemon",
  "pontoon-dns",
  "pontoon-proxy",
  "bulk workers",
  "shims",
  "dockerd",
  "docker-proxies",
] as const;

export type Kind = (typeof kinds)[number];

/** The process ids, inside the host, of everything that serves it. Shims of containers (containerd's) are of neither. */
export function processesOf(host: DockerHost, pontoon: Pontoon | undefined): ReadonlyMap<Kind, readonly number[]> {
  const found = new Map<Kind, number[]>();
  for (const name of readdirSync(host.path("/proc")).filter((entry) => /^\d+$/.test(entry))) {
    const pid = Number(name);
    const kind = pid === pontoon?.pid ? "pontoon daemon" : kindOf(host, pid);
    if (kind !== undefined) found.set(kind, [...(found.get(kind) ?? []), pid]);
  }
  return found;
}

function kindOf(host: DockerHost, pid: number): Kind | undefined {
  const program = programOf(host, pid);
  switch (program.title) {
    case "pontoon-dns":
    case "pontoon-proxy":
      return program.title;
    case "pontoon-proxy-bulk":
      return "bulk workers";
  }
  switch (basename(program.path)) {
    case "pontoon-docker-proxy":
      return "shims";
    case "docker-proxy":
      return "docker-proxies";
    case "dockerd":
    case "containerd":
      return "dockerd";
    default:
      return undefined;
  }
}

/** Path of what a process runs, and what it calls itself. */
function programOf(host: DockerHost, pid: number): { readonly path: string; readonly title: string } {
  try {
    const title = readFileSync(host.path(`/proc/${pid}/cmdline`), "latin1").split("\0")[0]!;
    return { path: readlinkSync(host.path(`/proc/${pid}/exe`)), title };
  } catch {
    return { path: "", title: "" }; // it has ended
  }
}
