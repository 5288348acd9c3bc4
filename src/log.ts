import { pino, type Logger } from "pino";
import { printable } from "./printable.js";

/**
 * The daemon's log: JSON lines for machines, or, on a terminal, lines for people.
 * @param level pino's name of the least that is logged
 */
export function createLog(level: string): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!process.stdout.isTTY) return pino(options);
  return pino(options, { write: (line: string) => process.stdout.write(`${forPeople(line)}\n`) });
}

/** One record as people read it, on one line: time, level if it matters, message, then what it is about. */
export function forPeople(line: string): string {
  const { level, time, msg, ...rest } = JSON.parse(line) as { level: number; time: string; msg: string; [key: string]: unknown };
  const label = level >= 50 ? "error: " : level >= 40 ? "warning: " : "";
  const details = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return printable([time.slice(11, 19), `${label}${msg}`, ...(details.length > 0 ? [`(${details.join(", ")})`] : [])].join(" "));
}
