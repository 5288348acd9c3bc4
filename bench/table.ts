import { reaches, type Goal, type Row } from "./goals.js";
import type { Turn } from "./local-names.js";
import type { Rounds } from "./rounds.js";
import { median, spread } from "./statistics.js";

/** The goals and what was reached, for people. */
export function goalsTable(rows: readonly Row[]): string {
  const header = ["MEASURE", "PONTOON", "AGAINST", "", "RESULT", "RANGE", "GOAL", ""];
  const lines = rows.map((row) => [row.measure, row.figure, row.against, row.other, printResult(row.result, row.goal), row.range, printGoal(row.goal), reaches(row.result, row.goal) ? "pass" : "miss"]);
  return aligned([header, ...lines]);
}

/** Each peer's medians, how far its rounds lie apart, and what went wrong. */
export function peersTable(rounds: Rounds<Turn>): string {
  const header = ["PEER", "QUERIES/S", "±", "CPU/QUERY", "±", "LATENCY", "WAITING", "LOST", "ERRORS"];
  const lines = [...rounds].map(([name, turns]) => {
    const [rates, costs] = [turns.map((turn) => turn.queriesPerSecond), turns.map((turn) => turn.cpuPerQuery)];
    const total = (of: (turn: Turn) => number) => turns.reduce((sum, turn) => sum + of(turn), 0).toString();
    const latency = median(turns.map((turn) => turn.latency.average));
    const speed = [Math.round(median(rates)).toLocaleString("en"), percent(spread(rates) / 2)];
    const cost = [`${median(costs).toFixed(2)} µs`, percent(spread(costs) / 2)];
    const waiting = median(turns.map(questionsWaiting)).toFixed(0);
    return [name, ...speed, ...cost, `${latency.toFixed(2)} ms`, waiting, total(({ lost }) => lost), total(({ errors }) => errors)];
  });
  return aligned([header, ...lines]);
}

/** How many questions were under way on average (Little's law): far below what dnsperf may have, it was dnsperf that was slow. */
function questionsWaiting({ queriesPerSecond, latency }: Turn): number {
  return (queriesPerSecond * latency.average) / 1000;
}

function printResult(result: number, { unit }: Goal): string {
  return unit === "×" ? `${result.toFixed(2)}×` : `${result.toFixed(1)} ms`;
}

function printGoal({ kind, value, unit }: Goal): string {
  return `${kind === "at least" ? "≥" : "≤"} ${value}${unit === "×" ? "×" : ` ${unit}`}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** Lines of cells: columns as wide as their widest cell, two spaces apart. */
function aligned(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) => line.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd()).join("\n");
}
