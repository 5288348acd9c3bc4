import type { CommandResult } from "../../integration/lab/index.js";

/** A place with mounts of its own. */
export interface Host {
  run(argv: readonly string[]): Promise<CommandResult>;
}

/**
 * Gives what is started in a place from now on a copy of node. Memory that it shared with the benchmark's own programs
 * would be counted to those in part, and pontoon would look smaller than it is.
 */
export async function useOwnNode(host: Host): Promise<void> {
  await host.run(["cp", process.execPath, "/run/node"]);
  await host.run(["mount", "--bind", "/run/node", process.execPath]);
}
