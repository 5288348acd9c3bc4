import { closeSync, constants, openSync } from "node:fs";

/** Whether this process belongs to a terminal, and that is still there. */
export function hasTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY));
    return true;
  } catch {
    return false; // ENXIO: there is none, or it was closed
  }
}
