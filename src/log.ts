import { isatty } from "node:tty";
import { pino, stdTimeFunctions, type Logger } from "pino";
import { AGAIN } from "../linux/stream.js";
import { UnwaitedOutput } from "../linux/unwaited-output.js";
import { LogWriter } from "./log-writer.js";
import { printable } from "../common/printable.js";

export interface Log {
  readonly logger: Logger;
  /** Writes what is still to be written. Takes two seconds at most, whoever reads the log, and never rejects. */
  end(): Promise<void>;
}

/**
 * The daemon's log: JSON lines for machines, or, on a terminal, lines for people. Nobody waits for it: what cannot be
 * written is held within bounds, then dropped and counted.
 * @param level pino's name of the least that is logged
 * @param fd where it goes
 */
export function createLog(level: string, fd = 1): Log {
  const form = isatty(fd) ? (line: string) => `${forPeople(line)}\n` : (line: string) => line;
  const output = new UnwaitedOutput(fd);
  const writer = new LogWriter(
    (bytes) => output.write(bytes),
    AGAIN,
    (lines) => form(lossLine(lines)),
  );
  const logger = pino(
    { level, base: null, timestamp: stdTimeFunctions.isoTime },
    { write: (line: string) => writer.add(form(line)) },
  );
  return { logger, end: () => writer.end() };
}

/** As pino writes it. */
function lossLine(lines: number): string {
  const msg = "lines of the log were lost here, since it could not be written";
  return `${JSON.stringify({ level: pino.levels.values.warn, time: new Date().toISOString(), lines, msg })}\n`;
}

/** One record as people read it, on one line: time, level if it matters, message, then what it is about. */
export function forPeople(line: string): string {
  const { level, time, msg, ...rest } = JSON.parse(line) as {
    level: number;
    time: string;
    msg: string;
    [key: string]: unknown;
  };
  const label = level >= 50 ? "error: " : level >= 40 ? "warning: " : "";
  const details = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return printable(
    [time.slice(11, 19), `${label}${msg}`, ...(details.length > 0 ? [`(${details.join(", ")})`] : [])].join(" "),
  );
}
