import type { Undo } from "../lib/cleanup.js";
import { startDocker } from "./docker.js";
import { startPontoon } from "./pontoon.js";
import type { Side } from "./side.js";

/** What pontoon's side runs. Another than its own is for work on the benchmark itself. */
const startOurs = process.env["PONTOON_BENCH_OVERLAY"] === "docker" ? startDocker : startPontoon;

/** Starts both sides, ours first. */
export async function startSides(undo: Undo): Promise<readonly [Side, Side]> {
  return [{ ...(await startOurs(undo)), name: "pontoon" }, await startDocker(undo)];
}
