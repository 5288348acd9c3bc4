import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { closeDescriptor, packetPair } from "../../linux/socket.js";

const program = fileURLToPath(new URL("../main.js", import.meta.url));

/** Bulk workers for this machine: half of its processors, four at most, one at least. */
export function workersWanted(): number {
  return Math.min(4, Math.max(1, Math.floor(availableParallelism() / 2)));
}

/**
 * Starts a bulk worker in a session of its own: it finishes its connections when we have ended.
 * Only before privileges are dropped: afterwards no process can be started.
 * @param log where its last words go: our own descriptor 2, or nowhere
 * @returns the channel to it
 */
export function spawnWorker(user: number, workers: number, log: 2 | "ignore"): number {
  const [ours, theirs] = packetPair();
  try {
    const child = spawn(
      process.execPath,
      [...process.execArgv, program, "--worker", String(workers), "--user", String(user)],
      {
        detached: true,
        stdio: ["ignore", "ignore", log, theirs],
        argv0: "pontoon-proxy-bulk",
        cwd: "/",
      },
    );
    child.unref();
  } finally {
    closeDescriptor(theirs);
  }
  return ours;
}
