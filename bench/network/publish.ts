import type { Bench, Outcome } from "../lib/measure.js";
import { fewRounds, medianRow } from "./figures.js";
import { startHost } from "./host.js";
import type { NetworkOptions } from "./options.js";

const goal = { kind: "at most", value: 0.5, unit: "s" } as const;
const firstPort = 20_000;

/** Seconds. */
interface Published {
  readonly first: number;
  readonly next: number;
  readonly unpublished: number;
}

/** Publishes many ports of one sandbox with one request, and as many again. */
export async function measurePublish({ options, progress, undo }: Bench<NetworkOptions>): Promise<Outcome> {
  const { ports } = options;
  const count = fewRounds(options.rounds);
  const { many, pontoon } = await startHost(undo);
  await many.call({ do: "furnish", networks: 1, sandboxes: 1 });
  const publish = async (from: number) => {
    const range = `${from}-${from + ports - 1}`;
    const { connects } = await many.call({ do: "publish", sandbox: "s0", ports: [`${range}:${range}`] });
    return connects[0]! / 1000;
  };
  const rounds: Published[] = [];
  for (let round = 0; round < count; round++) {
    progress.show(`${ports} ports, and as many again: round ${round + 1} of ${count}`);
    const first = await publish(firstPort);
    const next = await publish(firstPort + ports);
    const rows = JSON.parse((await pontoon.get("/v1/ports")).body) as { ip: string; path?: string }[];
    const kernel = rows.filter(({ ip, path }) => ip === "0.0.0.0" && path === "kernel").length;
    if (kernel !== 2 * ports) throw new Error(`the kernel forwards ${kernel} of ${2 * ports} ports`);
    const { disconnects } = await many.call({ do: "unpublish", sandbox: "s0" });
    rounds.push({ first, next, unpublished: disconnects[0]! / 1000 });
  }
  return {
    rows: [
      medianRow(
        `${ports} ports published with one request`,
        rounds.map(({ first }) => first),
        goal,
      ),
      medianRow(
        `… and the next ${ports}`,
        rounds.map(({ next }) => next),
        goal,
      ),
    ],
    tables: [],
    data: { publish: rounds },
  };
}
