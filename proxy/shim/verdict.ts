// What dockerd hears of the port it has started us for: `0`, or `1` and why not, on descriptor 3.
import { closeSync, openSync, writeSync } from "node:fs";

export const verdictDescriptor = 3;

/** Tells dockerd that the port is published. */
export function tellStarted(): void {
  writeSync(verdictDescriptor, "0\n");
  closeSync(verdictDescriptor);
}

/** Reports a failure to dockerd, or to a person who started this by hand, and ends. */
export function fail(words: string): never {
  // The process that holds a port may call itself anything, and dockerd hands the words on to somebody's terminal.
  const problem = Buffer.from(words)
    .toString("latin1")
    .replace(/[^ -~]/g, "?");
  try {
    writeSync(verdictDescriptor, `1\n${problem}`);
  } catch {
    // nobody listens there; the exit code and stderr say it too
  }
  process.stderr.write(`${problem}\n`);
  process.exit(1);
}

/** Docker's own program writes its verdict again; nobody reads it by then. */
export function replaceVerdictDescriptor(): void {
  const occupied: number[] = [];
  for (let fd = openSync("/dev/null", "r+"); fd !== verdictDescriptor; fd = openSync("/dev/null", "r+")) {
    occupied.push(fd);
    if (fd > 64) break;
  }
  occupied.forEach((fd) => closeSync(fd));
}
