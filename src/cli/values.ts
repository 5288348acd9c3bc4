import { InvalidArgumentError } from "commander";

/** Gathers what an option is given several times. */
export function list(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** Without the fields that were not given. */
export function withoutUndefined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** As {@link list}, of labels: `key=value`, or only `key`. */
export function labelList(value: string, before: readonly string[]): string[] {
  if (value.startsWith("=")) throw new InvalidArgumentError("it has no key.");
  return list(value, before);
}

/** Of what {@link labelList} has gathered. */
export function labelsOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf("=");
      return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
