import { setTimeout as pause } from "node:timers/promises";
import { DockerHost } from "../../integration/lab/index.js";
import { askSteadily, flood, percentile } from "../../integration/lab/fairness.js";
import { figureRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { median } from "../lib/statistics.js";

/** What one container noticed of another that floods, in one round. */
interface Round {
  /** 99th percentiles, ms: alone, and while the other floods. */
  readonly quietP99: number;
  readonly floodedP99: number;
  /** Questions of the quiet container without an answer, in both. */
  readonly lost: number;
  readonly asked: number;
  /** Of the flood: what was sent a second. */
  readonly floodedPerSecond: number;
}

const loud = { perSecond: 50_000, suffix: "loud.example" };
const quietPerSecond = 100;
/** At the least, or a percentile would be two or three questions. */
const secondsAtLeast = 5;
const [quickUpstream, slowUpstream] = ["10.78.0.2", "10.78.0.3"] as const;
/** Longer than anything asked of the slow upstream is waited for, ms. */
const aftermath = 4500;
/** Of the upstreams, which stand for other machines: what floods this one's processors does not hold them up. */
const niceness = -15;
const goal = { kind: "at most", value: 2, unit: "×" } as const;

/**
 * Measures the latency of a container that asks 100 questions a second, alone and while a neighbour, whose upstream takes
 * two seconds, asks for 50,000 unique names a second.
 */
export async function measureFairness({ options, progress, undo }: Bench): Promise<Outcome> {
  const host = await DockerHost.start(undo);
  const outside = await host.outside({ name: "fairness", prefix: "10.78.0", defaultRoute: false });
  const [quick, slow] = [
    await outside.dns({ address: quickUpstream, niceness }),
    await outside.dns({ address: slowUpstream, niceness }),
  ];
  await quick.answer("kept.example", "A", "192.0.2.1", { ttl: 3600 });
  await slow.delay(2000);
  await host.network("fairness");
  const quietOne = await host.container({
    name: "fairness-quiet",
    networks: ["fairness"],
    options: [`--dns=${quickUpstream}`],
  });
  const loudOne = await host.container({
    name: "fairness-loud",
    networks: ["fairness"],
    options: [`--dns=${slowUpstream}`],
  });
  const pontoon = await host.pontoon();
  await pontoon.answersIn(quietOne, loudOne);

  const names = ["fairness-quiet", "kept.example", "fairness-loud", "new-*.example"];
  const seconds = Math.max(options.seconds, secondsAtLeast);
  const measure = (duration: number) =>
    askSteadily(host, quietOne, { perSecond: quietPerSecond, count: quietPerSecond * duration, names });
  const rounds: Round[] = [];
  await measure(1);
  for (let round = 0; round < options.rounds; round++) {
    progress.show(`fairness: round ${round + 1} of ${options.rounds}`);
    const alone = await measure(seconds);
    const flooding = flood(host, loudOne, { ...loud, seconds: seconds + 3 });
    await pause(2000); // until the slow upstream's first answers are due
    const flooded = await measure(seconds);
    const { sent } = await flooding;
    const p99 = (latencies: Record<string, number[]>) => percentile(Object.values(latencies).flat(), 99);
    rounds.push({
      quietP99: p99(alone.latencies),
      floodedP99: p99(flooded.latencies),
      lost: alone.lost + flooded.lost,
      asked: alone.sent + flooded.sent,
      floodedPerSecond: sent / (seconds + 3),
    });
    await pause(aftermath);
  }
  return { rows: [rowOf(rounds)], tables: [], data: { fairness: rounds } };
}

function rowOf(rounds: readonly Round[]) {
  const ratios = rounds.map(({ floodedP99, quietP99 }) => floodedP99 / quietP99);
  const total = (of: (round: Round) => number) => rounds.reduce((sum, round) => sum + of(round), 0);
  const lost = `lost ${total(({ lost }) => lost)} of ${total(({ asked }) => asked)}`;
  const range = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}, ${lost}`;
  const flooded = Math.round(total(({ floodedPerSecond }) => floodedPerSecond) / rounds.length);
  const printMs = (value: number) => `${value.toFixed(3)} ms`;
  return {
    ...figureRow(
      `99th percentile beside a flood of ${flooded.toLocaleString("en")} unique names/s`,
      median(ratios),
      range,
      goal,
    ),
    figure: printMs(median(rounds.map(({ floodedP99 }) => floodedP99))),
    against: "quiet",
    other: printMs(median(rounds.map(({ quietP99 }) => quietP99))),
  };
}
