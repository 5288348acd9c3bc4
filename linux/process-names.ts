import { readdirSync } from "node:fs";
import { readProcFile } from "./proc.js";

/** Bytes of a process's name, and the end of the line (proc(5), `comm`). */
const nameAtMost = 16;

/** How many processes are called so. Some 10 µs for each process of the host. */
export function processesCalled(name: string): number {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && nameOf(pid) === name).length;
}

function nameOf(pid: string): string | undefined {
  try {
    return readProcFile(`/proc/${pid}/comm`, nameAtMost).text.trim();
  } catch {
    return undefined; // it has ended
  }
}
