import type { PacedResult } from "../dns/paced-client.js";
import { compare, type Rounds } from "./rounds.js";
import { summarizeStarts, type Start } from "../dns/start-latency.js";
import type { Turn } from "../dns/throughput.js";

/** One line of the table: a measure, what it came to, and what it was to come to. */
export interface Row {
  readonly measure: string;
  readonly figure: string;
  /** Whom it is compared with, and what that came to. */
  readonly against: string;
  readonly other: string;
  /** The ratio, or the figure itself where there is nobody to compare with; its extremes over the rounds beside it. */
  readonly result: number;
  readonly range: string;
  readonly goal: Goal;
}

export interface Goal {
  readonly kind: "at least" | "at most";
  readonly value: number;
  readonly unit: "×" | "ms" | "s" | "MB" | "KB" | "%" | "descriptors" | "processes";
}

/** Whether a result reaches its goal. */
export function reaches(result: number, goal: Goal): boolean {
  return goal.kind === "at least" ? result >= goal.value : result <= goal.value;
}

const rateGoals = { dockerd: 1.8, "aardvark-dns": 1.8, dnsmasq: 1.05 };
const cpuGoals = { dockerd: 0.4, dnsmasq: 0.9 };
const outsideGoal = { kind: "at least", value: 5, unit: "×" } as const;
const latencyGoal = { kind: "at most", value: 0.5, unit: "×" } as const;
const startGoal = { kind: "at most", value: 20, unit: "ms" } as const;

/** The rows about local names: speed and CPU time beside each peer. */
export function localNamesRows(rounds: Rounds<Turn>): Row[] {
  const rates = Object.entries(rateGoals).map(([peer, value]) =>
    ratioRow(rounds, "local names, queries/s", peer, { kind: "at least", value, unit: "×" }, rateOf, printRate),
  );
  const costs = Object.entries(cpuGoals).map(([peer, value]) =>
    ratioRow(rounds, "CPU per query", peer, { kind: "at most", value, unit: "×" }, costOf, printCost),
  );
  return [...rates, ...costs];
}

/** The row about names of the upstream. */
export function outsideNamesRow(rounds: Rounds<Turn>): Row {
  return ratioRow(rounds, "names from upstream, repeated, queries/s", "dockerd", outsideGoal, rateOf, printRate);
}

/** The row about the slowest answers at a steady rate. */
export function latencyRow(rounds: Rounds<PacedResult>, rate: number): Row {
  return ratioRow(
    rounds,
    `99th percentile at ${rate.toLocaleString("en")} queries/s`,
    "dockerd",
    latencyGoal,
    ({ latency }) => latency.p99,
    printMs,
  );
}

/** The row about Docker's start event. */
export function startRow(starts: readonly Start[]): Row {
  const { median, p99, max } = summarizeStarts(starts);
  return figureRow(
    `start event to name, 99th percentile of ${starts.length}`,
    p99,
    `median ${median.toFixed(1)}, max ${max.toFixed(1)}`,
    startGoal,
  );
}

/** A row in which one contender's figure is compared with another's, round by round. */
export function ratioRow<Result>(
  rounds: Rounds<Result>,
  measure: string,
  against: string,
  goal: Goal,
  figureOf: (result: Result) => number,
  print: (figure: number) => string,
  name = "pontoon",
): Row {
  const { figure, other, ratio, lowest, highest } = compare(rounds, name, against, figureOf);
  return {
    measure,
    figure: print(figure),
    against,
    other: print(other),
    result: ratio,
    range: `${lowest.toFixed(2)}–${highest.toFixed(2)}`,
    goal,
  };
}

/** A row with a figure of its own. */
export function figureRow(measure: string, result: number, range: string, goal: Goal): Row {
  return { measure, figure: printFigure(result, goal.unit), against: "", other: "", result, range, goal };
}

/** A figure with its unit. */
export function printFigure(figure: number, unit: Goal["unit"]): string {
  if (unit === "×") return `${figure.toFixed(2)}×`;
  if (unit === "descriptors" || unit === "processes") return `${figure} ${unit}`;
  return `${figure.toFixed(unit === "s" || unit === "%" ? 2 : 1)} ${unit}`;
}

export const rateOf = (turn: Turn) => turn.queriesPerSecond;
export const costOf = (turn: Turn) => turn.cpuPerQuery;
export const printRate = (rate: number) => Math.round(rate).toLocaleString("en");
export const printCost = (cost: number) => `${cost.toFixed(2)} µs`;
export const printMs = (ms: number) => `${ms.toFixed(3)} ms`;
