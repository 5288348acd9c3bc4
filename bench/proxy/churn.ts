import { setTimeout as pause } from "node:timers/promises";
import { figureRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { median } from "../lib/statistics.js";
import { aligned } from "../lib/table.js";
import type { ProxyOptions } from "./options.js";
import { descriptors, residentMemory } from "./process.js";
import { pontoonSide } from "./sides.js";
import { contend, worldWithTarget } from "./site.js";
import { runWrk } from "./wrk.js";

/** One look at a process. */
interface Sample {
  /** Seconds since the load began. */
  readonly at: number;
  readonly residentMemory: number;
  readonly descriptors: number;
  readonly connectionsPerSecond: number;
}

/** The load between two samples, s. */
const sampleSeconds = 5;
/** Until connections that end have ended, ms. */
const settling = 2000;
const flatGoal = { kind: "at most", value: 1.1, unit: "×" } as const;
const descriptorsGoal = { kind: "at most", value: 0, unit: "descriptors" } as const;

/** Opens and closes connections for a long time. */
export async function measureChurn({ options, progress, undo }: Bench<ProxyOptions>): Promise<Outcome> {
  const world = await worldWithTarget(undo);
  const { ports, side } = await contend(world, pontoonSide);
  const server = (await side.processes())[0]!;
  await runWrk(world, ports.connections, 1);
  await pause(settling);
  const descriptorsBefore = descriptors(world, server);
  const samples: Sample[] = [];
  for (let at = 0; at < options.churnSeconds; at += sampleSeconds) {
    progress.show(`connections opened and closed: ${at} of ${options.churnSeconds} s`);
    const { requestsPerSecond } = await runWrk(world, ports.connections, sampleSeconds);
    samples.push({
      at: at + sampleSeconds,
      residentMemory: residentMemory(world, server),
      descriptors: descriptors(world, server),
      connectionsPerSecond: requestsPerSecond,
    });
  }
  await pause(settling);
  const left = descriptors(world, server) - descriptorsBefore;
  return {
    rows: [
      flatRow(samples, options.churnSeconds),
      figureRow("… descriptors left behind", left, `${descriptorsBefore} before`, descriptorsGoal),
    ],
    tables: [samplesTable(samples)],
    data: { churn: { samples, descriptorsBefore, left } },
  };
}

/** The last quarter beside the second: the first is the heap finding its size. */
function flatRow(samples: readonly Sample[], seconds: number) {
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  const memoryOf = (some: readonly Sample[]) => median(some.map(({ residentMemory }) => residentMemory / 1e6));
  const [second, last] = [memoryOf(samples.slice(quarter, 2 * quarter + 1)), memoryOf(samples.slice(-quarter))];
  const all = samples.map(({ residentMemory }) => residentMemory / 1e6);
  const range = `${Math.min(...all).toFixed(1)}–${Math.max(...all).toFixed(1)} MB`;
  const title = `connections opened and closed for ${seconds} s, memory`;
  return {
    ...figureRow(title, last / second, range, flatGoal),
    figure: `${last.toFixed(1)} MB`,
    against: "earlier",
    other: `${second.toFixed(1)} MB`,
  };
}

function samplesTable(samples: readonly Sample[]): string {
  const every = Math.max(1, Math.floor(samples.length / 10));
  const shown = samples.filter((_, index) => (index + 1) % every === 0);
  const lines = shown.map(({ at, residentMemory, descriptors, connectionsPerSecond }) => [
    `${at} s`,
    `${(residentMemory / 1e6).toFixed(1)} MB`,
    String(descriptors),
    Math.round(connectionsPerSecond).toLocaleString("en"),
  ]);
  return aligned([["OPENED AND CLOSED", "MEMORY", "DESCRIPTORS", "CONNECTIONS/S"], ...lines]);
}
