// What servers may leave behind: sockets nobody answers, files of processes that have ended, processes nobody steers.
import { realpathSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { inSlices } from "../../linux/pieces.js";
import { argumentsOf, namespaceOf, processes } from "../../linux/proc.js";
import { listeningUnixSockets } from "../../linux/proc-sockets.js";
import { isServer, pidOfServer, UNPLACED, type ServerFiles, type ServerProgram } from "./process.js";

/** Where a server listens, first for others. */
export function socketsOf({ publicPath, socketPath }: ServerFiles): string[] {
  return publicPath === undefined ? [socketPath] : [publicPath, socketPath];
}

/** Those of these sockets that are there, and at which nobody listens. */
export async function unansweredSockets(paths: readonly string[]): Promise<string[]> {
  const answered = await listeningSockets(new Set(paths.map((path) => basename(path))));
  return paths.filter((path) => !answered.has(real(path)) && exists(path));
}

/** What a server that has ended has left besides its sockets. */
export function filesOfEnded(program: ServerProgram, { pidPath, logPath }: ServerFiles): string[] {
  return pidOfServer(program, pidPath) === undefined ? [pidPath, logPath].filter(exists) : [];
}

/** Processes of a server other than the one a daemon steers; those of another pid namespace are another pontoon's. */
export async function strayServers(program: ServerProgram, steered: number | undefined): Promise<number[]> {
  const own = namespaceOf("self", "pid");
  return (await inSlices(processes())).filter(
    (pid) =>
      pid !== steered &&
      isServer(program, pid) &&
      argumentsOf(pid)[0] === program.name &&
      (namespaceOf(pid, "pid") ?? own) === own,
  );
}

/** Those of our unix sockets that somebody listens at. A connection would tell too, but pontoon-dns obeys whoever connects last. */
async function listeningSockets(names: ReadonlySet<string>): Promise<Set<string>> {
  const found = new Set<string>();
  await inSlices(
    listeningUnixSockets((path) => {
      const place = withoutEnd(path);
      if (place.startsWith("/") && names.has(basename(place))) found.add(real(place));
    }),
  );
  return found;
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

/** The end of a socket's first name, which it bears there for ever, is left out. */
function withoutEnd(path: string): string {
  return path.endsWith(UNPLACED) ? path.slice(0, -UNPLACED.length) : path;
}
