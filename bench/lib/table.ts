import { printFigure, reaches, type Row } from "./goals.js";
import type { PacedResult } from "../dns/paced-client.js";
import type { Rounds } from "./rounds.js";
import { median, spread } from "./statistics.js";
import type { Turn } from "../dns/throughput.js";

/** The goals and what was reached, for people. */
export function goalsTable(rows: readonly Row[]): string {
  const header = ["MEASURE", "PONTOON", "AGAINST", "", "RESULT", "RANGE", "GOAL", ""];
  const lines = rows.map(({ measure, figure, against, other, result, range, goal }) => {
    const wanted = `${goal.kind === "at least" ? "≥" : "≤"} ${goal.value}${goal.unit === "×" ? "×" : ` ${goal.unit}`}`;
    return [
      measure,
      figure,
      against,
      other,
      printFigure(result, goal.unit),
      range,
      wanted,
      reaches(result, goal) ? "pass" : "miss",
    ];
  });
  return aligned([header, ...lines]);
}

/** Each peer's medians, how far its rounds lie apart, and what went wrong. */
export function peersTable(title: string, rounds: Rounds<Turn>): string {
  const header = [title, "QUERIES/S", "±", "CPU/QUERY", "±", "LATENCY", "WAITING", "LOST", "ERRORS"];
  const lines = [...rounds].map(([name, turns]) => {
    const [rates, costs] = [turns.map((turn) => turn.queriesPerSecond), turns.map((turn) => turn.cpuPerQuery)];
    const latency = median(turns.map((turn) => turn.latency.average));
    const speed = [Math.round(median(rates)).toLocaleString("en"), percent(spread(rates) / 2)];
    const cost = [`${median(costs).toFixed(2)} µs`, percent(spread(costs) / 2)];
    const waiting = median(turns.map(questionsWaiting)).toFixed(0);
    return [
      name,
      ...speed,
      ...cost,
      `${latency.toFixed(2)} ms`,
      waiting,
      total(turns, ({ lost }) => lost),
      total(turns, ({ errors }) => errors),
    ];
  });
  return aligned([header, ...lines]);
}

/** Each contender's medians of the percentiles. */
export function latencyTable(title: string, rounds: Rounds<PacedResult>): string {
  const header = [title, "MEDIAN", "99 %", "99.9 %", "MAX", "SENT LATE, 99 %", "LOST", "ERRORS"];
  const lines = [...rounds].map(([name, turns]) => {
    const ms = (of: (turn: PacedResult) => number) => `${median(turns.map(of)).toFixed(3)} ms`;
    const times = [
      ms(({ latency }) => latency.p50),
      ms(({ latency }) => latency.p99),
      ms(({ latency }) => latency.p999),
      ms(({ latency }) => latency.max),
    ];
    return [
      name,
      ...times,
      ms(({ lateness }) => lateness.p99),
      total(turns, ({ lost }) => lost),
      total(turns, ({ errors }) => errors),
    ];
  });
  return aligned([header, ...lines]);
}

/** How many questions were under way on average (Little's law): far below what dnsperf may have, it was dnsperf that was slow. */
function questionsWaiting({ queriesPerSecond, latency }: Turn): number {
  return (queriesPerSecond * latency.average) / 1000;
}

function total<Result>(turns: readonly Result[], of: (turn: Result) => number): string {
  return turns.reduce((sum, turn) => sum + of(turn), 0).toString();
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** Lines of cells: columns as wide as their widest cell, two spaces apart. */
export function aligned(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
