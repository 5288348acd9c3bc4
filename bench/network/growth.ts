import type { Bench, Outcome } from "../lib/measure.js";
import { median } from "../lib/statistics.js";
import { fewRounds, medianRow } from "./figures.js";
import { startHost } from "./host.js";
import { heldUp, watchingLoop, type HeldUp } from "./loop.js";
import type { ManyReply } from "./many-child.js";
import type { NetworkOptions } from "./options.js";

const growthGoal = { kind: "at most", value: 1.5, unit: "×" } as const;
const loopGoal = { kind: "at most", value: 5, unit: "ms" } as const;

/** The first, or the last of all, which are compared: one alone would say little. */
const few = (all: number) => Math.min(25, all >> 2);

/** Connects many endpoints to one network and disconnects them, with one daemon for each round. */
export async function measureGrowth({ options, progress, undo }: Bench<NetworkOptions>): Promise<Outcome> {
  const { endpoints } = options;
  const count = fewRounds(options.rounds);
  const rounds: (ManyReply & { readonly loop: HeldUp })[] = [];
  for (let round = 0; round < count; round++) {
    progress.show(`${endpoints} endpoints come and go: round ${round + 1} of ${count}`);
    const { host, pontoon, many } = await startHost(undo, { env: watchingLoop });
    await heldUp(host); // what the start has cost
    const times = await many.call({ do: "grow", endpoints });
    rounds.push({ ...times, loop: await heldUp(host) });
    await many.release();
    await pontoon.stop();
  }
  const first = (times: readonly number[]) => median(times.slice(0, few(endpoints)));
  const last = (times: readonly number[]) => median(times.slice(-few(endpoints)));
  const ratios = rounds.map(({ connects }) => last(connects) / first(connects));
  return {
    rows: [
      medianRow(`the last ${few(endpoints)} of ${endpoints} endpoints connected`, ratios, growthGoal),
      medianRow(
        "… the daemon's loop held up meanwhile, at most",
        rounds.map(({ loop }) => loop.max),
        loopGoal,
      ),
    ],
    tables: [],
    data: { growth: rounds },
  };
}
