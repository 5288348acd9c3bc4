import type { HelperProcess } from "../../integration/lab/helper-process.js";
import { ratioRow, type Row } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { takeTurns, type Rounds } from "../lib/rounds.js";
import { median } from "../lib/statistics.js";
import { aligned } from "../lib/table.js";
import { bridge, childProgram, network, startContenders, type Contender } from "./host.js";
import { networkPart } from "./network-part.js";
import type { DriverOptions } from "./options.js";
import type { RunKind, RunReply, RunRequest } from "./run-child.js";

interface Runner extends Contender {
  readonly child: HelperProcess<RunRequest, RunReply>;
}

const trials = [
  { measure: "run", title: "docker run, the network's part", most: 0.6 },
  { measure: "port", title: "docker run with a published port, the network's part", most: 0.5 },
] as const;

const commands: Readonly<Record<RunKind, readonly string[]>> = {
  none: dockerRun("--network=none"),
  run: dockerRun(`--network=${network}`),
  port: dockerRun(`--network=${network}`, "--publish=8080:80"),
};

/** Runs containers that end at once, on a network, with a published port as well, and without any network. */
export async function measureRun({ options, progress, undo }: Bench<DriverOptions>): Promise<Outcome> {
  progress.show("two Docker hosts");
  const program = childProgram("run-child.js");
  const contenders = await startContenders(undo);
  const runners = contenders.map((each) => ({ ...each, child: each.host.helper<RunRequest, RunReply>(program) }));
  const wanted = trials.filter(({ measure }) => options.only.includes(measure));
  const kinds: readonly RunKind[] = ["none", ...wanted.map(({ measure }) => measure)];
  const chosen = Object.fromEntries(kinds.map((kind) => [kind, commands[kind]]));
  const turn = ({ child }: Runner, times: number) => child.call({ times, commands: chosen });
  for (const runner of runners) await turn(runner, 1); // warms up
  const rounds = await takeTurns(runners, (runner) => turn(runner, options.times), {
    rounds: options.rounds,
    onTurn: (name, round) => progress.show(`docker run: round ${round + 1} of ${options.rounds}, ${name}`),
  });
  return {
    rows: wanted.map((trial) => rowOf(trial, rounds)),
    tables: [wholeTable(kinds, rounds)],
    data: { run: Object.fromEntries(rounds) },
  };
}

function dockerRun(...options: readonly string[]): string[] {
  return ["docker", "run", "--rm", ...options, "busybox", "true"];
}

function rowOf({ measure, title, most }: (typeof trials)[number], rounds: Rounds<RunReply>): Row {
  const partOf = (turn: RunReply) => networkPart({ with: turn[measure]!, without: turn.none! });
  return ratioRow(rounds, title, bridge, { kind: "at most", value: most, unit: "×" }, partOf, printMs);
}

/** What each took as a whole. */
function wholeTable(kinds: readonly RunKind[], rounds: Rounds<RunReply>): string {
  const titles = { none: "WITHOUT NETWORK", run: "ON THE NETWORK", port: "WITH A PORT" } as const;
  const lines = [...rounds].map(([name, turns]) => [
    name,
    ...kinds.map((kind) => printMs(median(turns.flatMap((turn) => turn[kind] ?? [])))),
  ]);
  return aligned([["DOCKER RUN", ...kinds.map((kind) => titles[kind])], ...lines]);
}

function printMs(ms: number): string {
  return `${ms.toFixed(1)} ms`;
}
