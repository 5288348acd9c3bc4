import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { confineWhatIsStarted } from "../../linux/privileges.js";
import { closeDescriptor, packetPair } from "../../linux/socket.js";

const program = fileURLToPath(new URL("../main.js", import.meta.url));

/** Bulk workers for this machine: half of its processors, four at most, one at least. */
export function workersWanted(): number {
  return Math.min(4, Math.max(1, Math.floor(availableParallelism() / 2)));
}

/** What becomes of a worker, with the reason. */
export interface WorkerEvents {
  onUnstartable(reason: string): void;
  /** It has ended otherwise than by itself. */
  onDeath(how: string): void;
}

/**
 * Starts a bulk worker in a session of its own: it finishes its connections when pontoon-proxy has ended. Called by the daemon,
 * which can start no program with capabilities from then on; pontoon-proxy can start none at all.
 * @param nodeFlags as pontoon-proxy has them
 * @returns the channel to it
 */
export function spawnWorker(user: number, nodeFlags: readonly string[], events: WorkerEvents): number {
  const [ours, theirs] = packetPair();
  try {
    confineWhatIsStarted();
    const child = spawn(process.execPath, [...nodeFlags, ...workerArguments(user)], {
      detached: true,
      stdio: ["ignore", "ignore", "ignore", theirs],
      argv0: "pontoon-proxy-bulk",
      cwd: "/",
    });
    child.on("error", (error) => events.onUnstartable(error.message));
    child.on("exit", (code, signal) => code !== 0 && events.onDeath(signal ?? `exit code ${code}`));
    child.unref();
  } catch (error) {
    closeDescriptor(ours);
    throw error;
  } finally {
    closeDescriptor(theirs);
  }
  return ours;
}

/** The command line of a bulk worker, its program first. It has its channel to pontoon-proxy as descriptor 3. */
export function workerArguments(user: number): readonly string[] {
  return [program, "--worker", String(workersWanted()), "--user", String(user)];
}
