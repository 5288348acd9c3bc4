import { monitorEventLoopDelay } from "node:perf_hooks";

const resolution = 1; // ms

/** How long the event loop kept others waiting, milliseconds. */
export interface LoopDelay {
  readonly p99: number;
  readonly max: number;
}

/**
 * Measures how long the event loop is held up, once a millisecond: too often to be done all the time.
 * @returns tells what was seen since the start
 */
export function watchLoopDelay(): () => LoopDelay {
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  // What is recorded is the time between two of its timers, which it takes even when nothing holds them up.
  const beyond = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolution);
  return () => ({ p99: beyond(delay.percentile(99)), max: beyond(delay.max) });
}
