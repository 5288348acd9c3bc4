import type { DockerHost } from "../integration/host/index.js";
import { askSteadily, flood, percentile } from "../integration/host/fairness.js";

/** What one container notices of another that floods. */
export interface Fairness {
  /** 99th percentiles, ms: alone, and while the other floods. */
  readonly quietP99: number;
  readonly floodedP99: number;
  /** Questions of the quiet container without an answer, in both. */
  readonly lost: number;
  readonly asked: number;
  /** Of the flood: what was sent a second. */
  readonly floodedPerSecond: number;
}

/** How long is measured: alone, and under the flood. */
export interface FairnessOptions {
  readonly seconds: number;
}

const loud = { perSecond: 50_000, suffix: "loud.example" };
const quietPerSecond = 100;
const [quickUpstream, slowUpstream] = ["10.78.0.2", "10.78.0.3"] as const;

/**
 * Makes two containers on a network of their own, one with an upstream that takes two seconds and one with a quick one,
 * and measures the second's latency, alone and while the first asks for 50,000 unique names a second. Whoever answers
 * 127.0.0.11 in the host is measured: start pontoon, or leave it to dockerd.
 * @param ready called with the containers' names before anything is measured, to wait until they are served
 */
export async function measureFairness(host: DockerHost, { seconds }: FairnessOptions, ready: (names: readonly string[]) => Promise<void>): Promise<Fairness> {
  const outside = await host.outside({ name: "fairness", prefix: "10.78.0", defaultRoute: false });
  const [quick, slow] = [await outside.dns({ address: quickUpstream }), await outside.dns({ address: slowUpstream })];
  await quick.answer("kept.example", "A", "192.0.2.1", { ttl: 3600 });
  await slow.delay(2000);
  await host.network("fairness");
  const quietOne = await host.container({ name: "fairness-quiet", networks: ["fairness"], options: [`--dns=${quickUpstream}`] });
  const loudOne = await host.container({ name: "fairness-loud", networks: ["fairness"], options: [`--dns=${slowUpstream}`] });
  await ready(["fairness-quiet", "fairness-loud"]);

  const names = ["fairness-quiet", "kept.example", "fairness-loud", "new-*.example"];
  const measure = (duration: number) => askSteadily(host, quietOne, { perSecond: quietPerSecond, count: quietPerSecond * duration, names });
  await measure(1);
  const alone = await measure(seconds);
  const flooding = flood(host, loudOne, { ...loud, seconds: seconds + 3 });
  await new Promise((resolve) => setTimeout(resolve, 2000)); // until the slow upstream's first answers are due
  const flooded = await measure(seconds);
  const { sent } = await flooding;
  await Promise.all([quietOne, loudOne].map((container) => container.remove()));
  return {
    quietP99: percentile(Object.values(alone.latencies).flat(), 99),
    floodedP99: percentile(Object.values(flooded.latencies).flat(), 99),
    lost: alone.lost + flooded.lost,
    asked: alone.sent + flooded.sent,
    floodedPerSecond: sent / (seconds + 3),
  };
}
