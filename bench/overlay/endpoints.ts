import { figureRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { aligned } from "../lib/table.js";
import { Crowd, type Seen } from "./crowd.js";
import type { OverlayOptions } from "./options.js";

/** Growth is linear: what the last fifth costs, beside the second. The first pays for what comes with any. */
const linearGoal = { kind: "at most", value: 1.2, unit: "×" } as const;
const parts = 5;

/** What the first host has with so many endpoints on all of them. */
interface Step {
  readonly endpoints: number;
  /** Each of this fifth, from the request until it was answered, all hosts at a time; ms. */
  readonly each: number;
  readonly seen: Seen;
}

/** Makes endpoints on all hosts and looks at what that costs the first. */
export async function measureEndpoints({ options, progress, undo }: Bench<OverlayOptions>): Promise<Outcome> {
  const { hosts, endpoints } = options;
  progress.show(`${hosts} hosts`);
  const crowd = await Crowd.start(undo);
  await crowd.grow(hosts);
  const steps: Step[] = [{ endpoints: 0, each: 0, seen: crowd.see() }];
  for (let part = 1; part <= parts; part++) {
    progress.show(`endpoints: fifth ${part}`);
    const [from, to] = [part - 1, part].map((count) => Math.round((endpoints * count) / parts)) as [number, number];
    const begun = performance.now();
    await furnish(crowd, from, to);
    const each = (performance.now() - begun) / (to - from);
    await crowd.untilNamed(`e${to - 1}`);
    steps.push({ endpoints: to, each, seen: crowd.see() });
  }
  const growths = (["daemon", "bytes"] as const).map((figure) => growth(steps, (seen) => seen[figure]));
  return {
    rows: [
      figureRow(
        `a host's daemon, the last fifth of ${endpoints} endpoints beside the second`,
        growths[0]!,
        "",
        linearGoal,
      ),
      figureRow("… what it is sent", growths[1]!, "", linearGoal),
    ],
    tables: [table(steps)],
    data: { endpoints: steps },
  };
}

/** Each host makes its own, one after the other. */
async function furnish(crowd: Crowd, from: number, to: number): Promise<void> {
  const work = async (host: number) => {
    for (let index = from; index < to; index++)
      if (index % crowd.size === host) await crowd.endpoint(host, `e${index}`);
  };
  await Promise.all(Array.from({ length: crowd.size }, (_, host) => work(host)));
}

function growth(steps: readonly Step[], figureOf: (seen: Seen) => number): number {
  const grown = (step: number) => figureOf(steps[step]!.seen) - figureOf(steps[step - 1]!.seen);
  return grown(parts) / grown(2);
}

function table(steps: readonly Step[]): string {
  const lines = steps.map(({ endpoints, each, seen }) => [
    String(endpoints),
    `${each.toFixed(1)} ms`,
    `${(seen.daemon / 1e6).toFixed(1)} MB`,
    `${(seen.dns / 1e6).toFixed(1)} MB`,
    String(seen.packets),
    `${(seen.bytes / 1e6).toFixed(2)} MB`,
  ]);
  return aligned([["ENDPOINTS", "EACH", "DAEMON", "DNS", "PACKETS SO FAR", ""], ...lines]);
}
