import { fileURLToPath } from "node:url";
import { ownTtl } from "./asking.js";
import { figureRow } from "../lib/goals.js";
import type { Outcome } from "../lib/measure.js";
import type { Progress } from "../lib/progress.js";
import type { Site } from "./site.js";
import { percentile, percentiles } from "../lib/statistics.js";

const program = fileURLToPath(new URL("changes-child.js", import.meta.url));
const otherNetwork = "other";
const turnsAtOnce = 5;
const turnTakesAtMost = 30_000; // ms
const goal = { kind: "at most", value: 50, unit: "ms" } as const;

/** One change of a container. */
export interface Changed {
  readonly kind: "rename" | "connect" | "disconnect" | "stop" | "start";
  /** Milliseconds from the time in Docker's event until the right answer arrived; negative when it was there first. */
  readonly rightAfter: number;
}

/** Changes a container again and again and measures when a neighbour gets the right answer. */
export async function measureChanges(
  { host, network, client }: Site,
  turns: number,
  progress: Progress,
): Promise<Outcome> {
  const other = await host.network(otherNetwork);
  await other.connect(client);
  const changing = await host.container({
    name: "changing",
    networks: [{ name: network, aliases: [`stays-on-${network}`] }],
    options: [`--label=pontoon.dns.ttl=${ownTtl}`],
  });
  const changes: Changed[] = [];
  for (let done = 0; done < turns; done += turnsAtOnce) {
    progress.show(`changes: turn ${done} of ${turns}`);
    const some = Math.min(turnsAtOnce, turns - done);
    const argv = [process.execPath, program, changing.id, network, otherNetwork, String(some)];
    const { stdout } = await host.exec(argv, { netns: client, timeoutMs: some * turnTakesAtMost });
    changes.push(...(JSON.parse(stdout) as Changed[]));
  }
  const { p99, median, worst } = summarizeChanges(changes);
  return {
    rows: [
      figureRow(
        `Docker's event to the right answer, 99th percentile of ${changes.length}`,
        p99,
        `median ${median.toFixed(1)}; slowest: ${worst}`,
        goal,
      ),
    ],
    tables: [],
    data: { changes },
  };
}

/** Milliseconds over all kinds, what was right before the event counting as 0; and the kind with the highest 99th percentile. */
export function summarizeChanges(changes: readonly Changed[]): { median: number; p99: number; worst: Changed["kind"] } {
  const waited = ({ rightAfter }: Changed) => Math.max(0, rightAfter);
  const [median, p99] = percentiles(changes.map(waited), [0.5, 0.99]) as [number, number];
  const kinds = [...new Set(changes.map(({ kind }) => kind))];
  const slowestOf = (kind: Changed["kind"]) =>
    percentile(changes.filter((change) => change.kind === kind).map(waited), 0.99);
  const worst = kinds.reduce((worst, kind) => (slowestOf(kind) > slowestOf(worst) ? kind : worst));
  return { median, p99, worst };
}
