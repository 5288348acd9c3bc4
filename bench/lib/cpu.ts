import { readFileSync } from "node:fs";

/** Somewhere with processes of its own. */
export interface Place {
  /** Where the machine sees a file of it, /proc included. */
  path(file: string): string;
}

/** USER_HZ: what /proc counts in, on every architecture pontoon runs on. */
const ticksPerSecond = 100;
/** Positions after the command's name in /proc/PID/stat (proc(5)): utime, stime, cutime, cstime. */
const timeFields = { first: 11, count: 4 };

/**
 * CPU seconds, in user mode and in the kernel, that processes have used until now: all their threads, those
 * that have ended too, and children that have ended.
 */
export function cpuSeconds(place: Place, pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + parseCpuSeconds(readFileSync(place.path(`/proc/${pid}/stat`), "utf8")), 0);
}

/** The same, from the content of /proc/PID/stat. */
export function parseCpuSeconds(stat: string): number {
  // The command's name stands in parentheses and may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const times = fields.slice(timeFields.first, timeFields.first + timeFields.count).map(Number);
  return times.reduce((sum, ticks) => sum + ticks, 0) / ticksPerSecond;
}
