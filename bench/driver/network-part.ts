import { median } from "../lib/statistics.js";

/** Milliseconds that the same command took with a network and without, at the same times. */
export interface Times {
  readonly with: readonly number[];
  readonly without: readonly number[];
}

/** What of it is the network's: the median of what each took longer than its neighbour without one. */
export function networkPart({ with: times, without }: Times): number {
  return median(times.map((time, index) => time - without[index]!));
}
