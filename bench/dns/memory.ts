import { DockerHost } from "../../integration/lab/index.js";
import { figureRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { StandIn } from "./stand-in.js";
import { median } from "../lib/statistics.js";
import { resolvConf } from "./upstream.js";

const total = { kind: "at most", value: 90, unit: "MB" } as const;
const further = { kind: "at most", value: 100, unit: "KB" } as const;

const networks = 1000;
/** Each lasts long, and they hardly differ. */
const roundsAtMost = 3;

/** What one pontoon-dns held, bytes. */
interface Memory {
  readonly served: number;
  readonly servedTwice: number;
}

/** Has one pontoon-dns serve namespaces, and then as many again. */
export async function measureMemory({ options, progress, undo }: Bench): Promise<Outcome> {
  const { namespaces } = options;
  const rounds = Math.min(options.rounds, roundsAtMost);
  const host = await DockerHost.start(undo, { resolvConf });
  const results: Memory[] = [];
  for (let round = 0; round < rounds; round++) {
    progress.show(`memory: round ${round + 1} of ${rounds}`);
    results.push(await measureRound(host, namespaces));
  }
  const served = results.map((result) => result.served / 1e6);
  const slopes = results.map((result) => (result.servedTwice - result.served) / namespaces / 1e3);
  return {
    rows: [
      figureRow(`one pontoon-dns for ${namespaces} namespaces, resident memory`, median(served), range(served), total),
      figureRow(`each further namespace, of ${namespaces} more`, median(slopes), range(slopes), further),
    ],
    tables: [],
    data: { memory: results },
  };
}

async function measureRound(host: DockerHost, namespaces: number): Promise<Memory> {
  const standIn = await StandIn.start(host);
  await standIn.ask({ do: "fill", networks, containers: [] });
  const { residentMemory: served } = await standIn.ask({ do: "serve", first: 0, count: namespaces, network: 0 });
  const { residentMemory: servedTwice } = await standIn.ask({
    do: "serve",
    first: namespaces,
    count: namespaces,
    network: networks / 2,
  });
  await standIn.stop();
  return { served, servedTwice };
}

function range(values: readonly number[]): string {
  return `${Math.min(...values).toFixed(1)}–${Math.max(...values).toFixed(1)}`;
}
