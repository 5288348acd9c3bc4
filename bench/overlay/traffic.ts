import { ratioRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { takeTurns } from "../lib/rounds.js";
import { bulkLoad, printGigabits } from "../network/loads.js";
import { peer } from "./names.js";
import type { OverlayOptions } from "./options.js";
import { startSides } from "./sides.js";

const goal = { kind: "at least", value: 1, unit: "×" } as const;

/** Sends from an endpoint on the second host to one on the first, each side in turn. */
export async function measureTraffic({ options, progress, undo }: Bench<OverlayOptions>): Promise<Outcome> {
  progress.show("two hosts and etcd for each");
  const sides = await startSides(undo);
  for (const { bulk } of sides) await bulkLoad(bulk, 1); // warms up
  const rounds = await takeTurns(sides, ({ bulk }) => bulkLoad(bulk, options.seconds), {
    rounds: options.rounds,
    onTurn: (name, round) => progress.show(`traffic: round ${round + 1} of ${options.rounds}, ${name}`),
  });
  const row = ratioRow(rounds, "TCP between two hosts", peer, goal, (figure) => figure, printGigabits);
  return { rows: [row], tables: [], data: { traffic: Object.fromEntries(rounds) } };
}
