import { parseArgs, type ParseArgsConfig } from "node:util";

/** What is wrong with the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What stood on a command line, by option. */
type Values = Readonly<Record<string, string | boolean | undefined>>;

/** Fields of options that are numbers, such as `churnSeconds`: `--churn-seconds` on the command line. */
type NumberOf<Options> = {
  [Field in keyof Options]: Options[Field] extends number ? Field & string : never;
}[keyof Options];

/**
 * Makes what reads a benchmark's command line: `--only`, `--quick`, and numbers. It throws a UsageError.
 * @param thorough what is not given; its measures are all there are, in the order in which they are made
 * @param quick the same with `--quick`
 * @param numbers fields that can be given
 */
export function optionsReader<Options extends { readonly only: readonly string[] }>(
  thorough: Options,
  quick: Options,
  numbers: readonly NumberOf<Options>[],
): (args: readonly string[]) => Options {
  return (args) => {
    const values = parseOptions(args, numbers.map(optionOf));
    const given = numbers.flatMap((field) => {
      const text = values[optionOf(field)];
      return typeof text === "string" ? [[field, wholeNumber(optionOf(field), text)] as const] : [];
    });
    const defaults = values["quick"] === true ? quick : thorough;
    return { ...defaults, ...Object.fromEntries(given), only: namesIn(values, thorough.only) };
  };
}

function optionOf(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function parseOptions(args: readonly string[], numbers: readonly string[]): Values {
  const options: NonNullable<ParseArgsConfig["options"]> = { only: { type: "string" }, quick: { type: "boolean" } };
  for (const name of numbers) options[name] = { type: "string" };
  try {
    return parseArgs({ args: [...args], options }).values as Values;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

function namesIn({ only }: Values, all: readonly string[]): readonly string[] {
  if (typeof only !== "string") return all;
  const wanted = only.split(",");
  const unknown = wanted.find((name) => !all.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`--only knows no measure called ${JSON.stringify(unknown)}; there are ${all.join(", ")}`);
  return all.filter((name) => wanted.includes(name));
}

function wholeNumber(option: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`--${option} takes a whole number from 1, not ${text}`);
  return Number(text);
}
