// Ctrl-C, SIGTERM and the end of a terminal, for tools that must not be ended just anywhere: they ask whether to go on.
import { constants } from "node:os";

/** @type {readonly NodeJS.Signals[]} */
const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
/** @type {NodeJS.Signals | undefined} */
let interruptedBy;
for (const signal of signals) process.on(signal, () => (interruptedBy ??= signal));

/** Throws if somebody wants the process to end. Signals are only heard here. */
export async function mayGoOn() {
  await new Promise((resolve) => setImmediate(resolve));
  if (interruptedBy !== undefined) throw new Error(`interrupted (${interruptedBy})`);
}

/** Of a process that has failed, perhaps because it was interrupted. */
export function exitCode() {
  return interruptedBy === undefined ? 1 : 128 + constants.signals[interruptedBy];
}
