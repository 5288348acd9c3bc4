import { fileURLToPath } from "node:url";
import type { Progress } from "../lib/progress.js";
import type { Site } from "./site.js";
import { percentile } from "../lib/statistics.js";

const program = fileURLToPath(new URL("start-latency-child.js", import.meta.url));
const startsAtOnce = 10;
const startTakesAtMost = 20_000; // ms, removing the container included

/** One container's start, as seen from another container. */
export interface Start {
  /** Milliseconds from the time Docker put into its event to the answer's arrival; negative when the answer was there first. */
  readonly answeredAfter: number;
  /** Milliseconds from that time until the event had reached a subscriber; the one that measured. */
  readonly eventDelay: number;
}

/** Starts containers one after another and measures when a neighbour gets their name from pontoon's own records. */
export async function measureStarts(site: Site, count: number, progress: Progress): Promise<Start[]> {
  const starts: Start[] = [];
  while (starts.length < count) {
    progress.show(`start to name: ${starts.length} of ${count} containers`);
    const some = Math.min(startsAtOnce, count - starts.length);
    const argv = [process.execPath, program, site.network, String(starts.length), String(some)];
    const { stdout } = await site.host.exec(argv, { netns: site.client, timeoutMs: some * startTakesAtMost });
    starts.push(...(JSON.parse(stdout) as Start[]));
  }
  return starts;
}

/** Median, 99th percentile and maximum of the latencies, milliseconds; a name that was answered before the event counts as 0. */
export function summarizeStarts(starts: readonly Start[]): { median: number; p99: number; max: number } {
  const latencies = starts.map(({ answeredAfter }) => Math.max(0, answeredAfter));
  return { median: percentile(latencies, 0.5), p99: percentile(latencies, 0.99), max: percentile(latencies, 1) };
}
