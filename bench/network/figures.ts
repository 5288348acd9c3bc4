import { figureRow, printFigure, type Goal, type Row } from "../lib/goals.js";
import { median } from "../lib/statistics.js";

/** A row with a figure of its own: its median over the rounds, and its extremes. */
export function medianRow(measure: string, values: readonly number[], goal: Goal): Row {
  const digits = goal.unit === "s" || goal.unit === "×" ? 2 : 1;
  const range = `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`;
  const row = figureRow(measure, median(values), range, goal);
  return { ...row, figure: printFigure(median(values), goal.unit) };
}

/** Several take long, and hardly differ. */
export function fewRounds(rounds: number): number {
  return Math.min(rounds, 3);
}
