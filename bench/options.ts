import { parseArgs } from "node:util";

/** How much a run measures. */
export interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly starts: number;
}

export const usage = `options:
  --rounds N    turns of each peer (default 5)
  --seconds N   length of one measurement (default 3)
  --starts N    containers started for the start-event measure (default 100)
  --quick       a glance while developing: 2 rounds of 1 s, 10 containers`;

const thorough = { rounds: 5, seconds: 3, warmUpSeconds: 2, starts: 100 };
const quick = { rounds: 2, seconds: 1, warmUpSeconds: 1, starts: 10 };

/** What is wrong with the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Reads the command line. Throws a UsageError. */
export function readOptions(args: readonly string[]): Options {
  const values = readValues([...args]);
  const defaults = values.quick ? quick : thorough;
  return {
    rounds: wholeNumber("rounds", values.rounds) ?? defaults.rounds,
    seconds: wholeNumber("seconds", values.seconds) ?? defaults.seconds,
    warmUpSeconds: defaults.warmUpSeconds,
    starts: wholeNumber("starts", values.starts) ?? defaults.starts,
  };
}

function readValues(args: string[]) {
  try {
    return parseArgs({ args, options: { rounds: { type: "string" }, seconds: { type: "string" }, starts: { type: "string" }, quick: { type: "boolean" } } }).values;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`--${option} takes a whole number from 1, not ${text}`);
  return Number(text);
}
