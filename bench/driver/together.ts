import type { HelperProcess } from "../../integration/lab/helper-process.js";
import type { Undo } from "../lib/cleanup.js";
import { ratioRow } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { takeTurns, type Rounds } from "../lib/rounds.js";
import { median } from "../lib/statistics.js";
import { aligned } from "../lib/table.js";
import { bridge, childProgram, network, startContenders, type Contender } from "./host.js";
import type { DriverOptions } from "./options.js";
import type { TogetherReply, TogetherRequest } from "./together-child.js";

const goal = { kind: "at most", value: 0.8, unit: "×" } as const;

interface Starter extends Contender {
  /** In a container on the network. */
  readonly child: HelperProcess<TogetherRequest, TogetherReply>;
}

/** Starts many containers at once. */
export async function measureTogether({ options, progress, undo }: Bench<DriverOptions>): Promise<Outcome> {
  const { containers, rounds: count } = options;
  progress.show("two Docker hosts");
  const starters = await startStarters(undo);
  for (const { child } of starters) await child.call({ network, containers }); // warms up
  const rounds = await takeTurns(starters, ({ child }) => child.call({ network, containers }), {
    rounds: count,
    onTurn: (name, round) => progress.show(`${containers} at once: round ${round + 1} of ${count}, ${name}`),
  });
  const title = `${containers} containers at once until all are resolvable`;
  const row = ratioRow(rounds, title, bridge, goal, ({ resolvable }) => resolvable, printSeconds);
  return { rows: [row], tables: [table(rounds)], data: { together: Object.fromEntries(rounds) } };
}

async function startStarters(undo: Undo): Promise<Starter[]> {
  const starters: Starter[] = [];
  for (const contender of await startContenders(undo)) {
    const asking = await contender.host.container({ name: "asking", networks: [network] });
    const netns = `/proc/${await asking.pid()}/ns/net`;
    starters.push({ ...contender, child: contender.host.helper(childProgram("together-child.js"), netns) });
  }
  return starters;
}

function table(rounds: Rounds<TogetherReply>): string {
  const lines = [...rounds].map(([name, turns]) => [
    name,
    printSeconds(median(turns.map(({ running }) => running))),
    printSeconds(median(turns.map(({ resolvable }) => resolvable))),
  ]);
  return aligned([["AT ONCE", "ALL RUN", "ALL RESOLVABLE"], ...lines]);
}

function printSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
