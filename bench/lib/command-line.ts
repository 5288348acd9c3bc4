import { parseArgs, type ParseArgsConfig } from "node:util";

/** What is wrong with the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What stood on a command line, by option. */
export type Values = Readonly<Record<string, string | boolean | undefined>>;

/** Reads `--only`, `--quick` and options that take a number. Throws a UsageError. */
export function parseOptions(args: readonly string[], numbers: readonly string[]): Values {
  const options: NonNullable<ParseArgsConfig["options"]> = { only: { type: "string" }, quick: { type: "boolean" } };
  for (const name of numbers) options[name] = { type: "string" };
  try {
    return parseArgs({ args: [...args], options }).values as Values;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

/** The numbers that were given. Throws a UsageError. */
export function numbersIn<Name extends string>(values: Values, names: readonly Name[]): Partial<Record<Name, number>> {
  const given = names.flatMap((name) =>
    typeof values[name] === "string" ? [[name, wholeNumber(name, values[name])] as const] : [],
  );
  return Object.fromEntries(given) as Partial<Record<Name, number>>;
}

/** The measures that `--only` names, all without it, in the order in which they are made. Throws a UsageError. */
export function namesIn<Name extends string>({ only }: Values, all: readonly Name[]): readonly Name[] {
  if (typeof only !== "string") return all;
  const wanted = only.split(",");
  const unknown = wanted.find((name) => !(all as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new UsageError(`--only knows no measure called ${JSON.stringify(unknown)}; there are ${all.join(", ")}`);
  return all.filter((name) => wanted.includes(name));
}

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`--${option} takes a whole number from 1, not ${text}`);
  return Number(text);
}
