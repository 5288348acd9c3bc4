import { optionsReader } from "../lib/command-line.js";

/** What can be measured, in the order in which it is. */
export const measures = {
  idle: "memory of all processes, and processor time, while nothing happens",
  status: "how long pontoon status takes",
} as const;

export type MeasureName = keyof typeof measures;

/** What a run measures, and how much. */
export interface MemoryOptions {
  readonly only: readonly MeasureName[];
  readonly rounds: number;
  /** Seconds in which nothing happens. */
  readonly seconds: number;
  readonly containers: number;
  /** Turns of each of the commands that are compared. */
  readonly commands: number;
}

export const usage = `options:
  --only A,B        only these measures: ${Object.keys(measures).join(", ")}
  --rounds N        hosts of each kind, one after the other (default 3)
  --seconds N       how long nothing happens (default 60)
  --containers N    containers, each with a published port (default 20)
  --commands N      turns of each command (default 30)
  --quick           a glance while developing: 1 round of 20 s, 10 turns`;

const all = Object.keys(measures) as MeasureName[];
const thorough: MemoryOptions = { only: all, rounds: 3, seconds: 60, containers: 20, commands: 30 };
const quick: MemoryOptions = { ...thorough, rounds: 1, seconds: 20, commands: 10 };

/** Reads the command line. Throws a UsageError. */
export const readOptions = optionsReader(thorough, quick, ["rounds", "seconds", "containers", "commands"]);
