import { setTimeout as pause } from "node:timers/promises";
import { ratioRow, type Row } from "../lib/goals.js";
import type { Bench, Outcome } from "../lib/measure.js";
import { takeTurns, type Rounds } from "../lib/rounds.js";
import { median } from "../lib/statistics.js";
import { aligned } from "../lib/table.js";
import { medianRow } from "../network/figures.js";
import { comes, peer } from "./names.js";
import type { OverlayOptions } from "./options.js";
import type { Side } from "./side.js";
import { startSides } from "./sides.js";

const connectGoal = { kind: "at most", value: 0.3, unit: "×" } as const;
const nameGoal = { kind: "at most", value: 0.5, unit: "×" } as const;
const slowestGoal = { kind: "at most", value: 100, unit: "ms" } as const;
/** Between two endpoints, ms: what the kernel still has to do for one that is gone is not to hold up the next. */
const settling = 200;

/** One endpoint that came and went; milliseconds. */
interface Passage {
  /** From the request until it was answered. */
  readonly connect: number;
  /** From the request until the name was answered on the other host. */
  readonly name: number;
  /** From the request to disconnect until the name was denied there. */
  readonly gone: number;
}

type Turn = readonly Passage[];

/** Connects and disconnects an endpoint while another on the second host asks for its name, each side in turn. */
export async function measureConnects({ options, progress, undo }: Bench<OverlayOptions>): Promise<Outcome> {
  progress.show("two hosts and etcd for each");
  const sides = await startSides(undo);
  for (const side of sides) await passages(side, 3); // warms up
  const rounds = await takeTurns(sides, (side) => passages(side, options.times), {
    rounds: options.rounds,
    onTurn: (name, round) => progress.show(`connect: round ${round + 1} of ${options.rounds}, ${name}`),
  });
  return { rows: rowsOf(rounds, options), tables: [table(rounds)], data: { connects: Object.fromEntries(rounds) } };
}

async function passages(side: Side, times: number): Promise<Turn> {
  const turn: Passage[] = [];
  for (let time = 0; time < times; time++) turn.push(await passage(side));
  return turn;
}

async function passage({ connecting, asking, backend }: Side): Promise<Passage> {
  const name = comes;
  const there = asking.call({ name, until: "there" });
  const [came, { at }] = await Promise.all([connecting.call({ backend, do: "connect" }), there]);
  const gone = asking.call({ name, until: "gone" });
  const [went, absent] = await Promise.all([connecting.call({ backend, do: "disconnect" }), gone]);
  await pause(settling);
  return { connect: came.answered - came.begun, name: at - came.begun, gone: absent.at - went.begun };
}

function rowsOf(rounds: Rounds<Turn>, { only }: OverlayOptions): Row[] {
  const slowest = rounds.get("pontoon")!.map((turn) => Math.max(...turn.map(({ name }) => name)));
  const rows = {
    connect: [ratioRow(rounds, "connect, answered", peer, connectGoal, medianOf("connect"), printMs)],
    name: [
      ratioRow(rounds, "new name on the other host", peer, nameGoal, medianOf("name"), printMs),
      medianRow("… the slowest of a round", slowest, slowestGoal),
    ],
  };
  return (["connect", "name"] as const).flatMap((measure) => (only.includes(measure) ? rows[measure] : []));
}

function table(rounds: Rounds<Turn>): string {
  const figures = ["connect", "name", "gone"] as const;
  const lines = [...rounds].map(([name, turns]) => [
    name,
    ...figures.flatMap((figure) => [
      printMs(median(turns.map(medianOf(figure)))),
      printMs(Math.max(...turns.flatMap((turn) => turn.map((passage) => passage[figure])))),
    ]),
  ]);
  const header = ["MEDIAN, SLOWEST", "CONNECT", "", "NAME THERE", "", "NAME GONE", ""];
  return aligned([header, ...lines]);
}

function medianOf(figure: keyof Passage): (turn: Turn) => number {
  return (turn) => median(turn.map((passage) => passage[figure]));
}

const printMs = (ms: number) => `${ms.toFixed(1)} ms`;
