import { readFileSync } from "node:fs";
import { arena, bind, check } from "./ffi.js";

const clockGettime = bind("int clock_gettime(int, void *)");
const CLOCK_THREAD_CPUTIME_ID = 3;
const time = arena(16); // struct timespec

/**
 * Processor time the calling thread has used, ms. What bounds our own work by it is fair on a busy machine, where
 * a clock also counts what others do.
 */
export function threadTime(): number {
  check(clockGettime(CLOCK_THREAD_CPUTIME_ID, time), "clock_gettime");
  return Number(time.readBigInt64LE(0)) * 1000 + Number(time.readBigInt64LE(8)) / 1e6;
}

/**
 * How long the calling thread was ready to run while others had the processor, ms; 0 always on a kernel that does not tell
 * (proc(5), schedstat; CONFIG_SCHED_INFO).
 */
export function threadWait(): number {
  try {
    const [, waited] = readFileSync("/proc/thread-self/schedstat", "latin1").split(" ");
    return Number(waited) / 1e6;
  } catch {
    return 0;
  }
}
