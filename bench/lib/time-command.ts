import { spawnSync } from "node:child_process";

/** Runs a program to its end, which must be exit code 0. @returns milliseconds that it took */
export function timeCommand([program = "", ...args]: readonly string[]): number {
  // Not by execa: the program's start is measured.
  const begun = performance.now();
  const { status, stderr, error } = spawnSync(program, args, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
  const took = performance.now() - begun;
  if (status !== 0)
    throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${error?.message ?? ""}${stderr}`);
  return took;
}
