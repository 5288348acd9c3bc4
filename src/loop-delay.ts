import { createHistogram } from "node:perf_hooks";
import { threadWait } from "../linux/thread-time.js";

const resolution = 1; // ms

/** How long the event loop kept others waiting, milliseconds. */
export interface LoopDelay {
  readonly p99: number;
  readonly max: number;
}

/**
 * Measures how long the event loop is held up by the process's own work, once a millisecond: too often to be done all the
 * time. What it waits for a processor that others use does not count.
 * @returns tells what was seen since the start
 */
export function watchLoopDelay(): () => LoopDelay {
  const held = createHistogram(); // µs
  let [then, waitedThen] = [performance.now(), threadWait()];
  setInterval(() => {
    const [now, waited] = [performance.now(), threadWait()];
    const microseconds = (now - then - resolution - (waited - waitedThen)) * 1000;
    held.record(Math.max(1, Math.round(microseconds)));
    [then, waitedThen] = [now, waited];
  }, resolution).unref();
  return () => ({ p99: held.percentile(99) / 1000, max: held.max / 1000 });
}
