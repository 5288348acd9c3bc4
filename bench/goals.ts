import type { Turn } from "./local-names.js";
import { compare, type Rounds } from "./rounds.js";
import { summarizeStarts, type Start } from "./start-latency.js";

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
  readonly unit: "×" | "ms";
}

/** Whether a result reaches its goal. */
export function reaches(result: number, goal: Goal): boolean {
  return goal.kind === "at least" ? result >= goal.value : result <= goal.value;
}

const rateGoals = { dockerd: 1.8, "aardvark-dns": 1.8, dnsmasq: 1.05 };
const cpuGoals = { dockerd: 0.4, dnsmasq: 0.9 };
const startGoal = 20; // ms

/** The rows about local names: speed and CPU time beside each peer. */
export function localNamesRows(rounds: Rounds<Turn>): Row[] {
  const rates = Object.entries(rateGoals).map(([peer, value]) =>
    ratioRow("local names, queries/s", peer, { kind: "at least", value, unit: "×" }, (turn) => turn.queriesPerSecond, (rate) => Math.round(rate).toLocaleString("en")),
  );
  const costs = Object.entries(cpuGoals).map(([peer, value]) =>
    ratioRow("CPU per query", peer, { kind: "at most", value, unit: "×" }, (turn) => turn.cpuPerQuery, (cost) => `${cost.toFixed(2)} µs`),
  );
  return [...rates, ...costs];

  function ratioRow(measure: string, against: string, goal: Goal, figureOf: (turn: Turn) => number, print: (figure: number) => string): Row {
    const { figure, other, ratio, lowest, highest } = compare(rounds, "pontoon", against, figureOf);
    return { measure, figure: print(figure), against, other: print(other), result: ratio, range: `${lowest.toFixed(2)}–${highest.toFixed(2)}`, goal };
  }
}

/** The row about Docker's start event. */
export function startRow(starts: readonly Start[]): Row {
  const { median, p99, max } = summarizeStarts(starts);
  return {
    measure: `start event to name, 99th percentile of ${starts.length}`,
    figure: `${p99.toFixed(1)} ms`,
    against: "",
    other: "",
    result: p99,
    range: `median ${median.toFixed(1)}, max ${max.toFixed(1)}`,
    goal: { kind: "at most", value: startGoal, unit: "ms" },
  };
}
