import { InvalidArgumentError } from "commander";

/** Gathers what an option is given several times. */
export function list(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** Without the fields that were not given. */
export function withoutUndefined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** `key=value`, or only `key`. */
export function labelsOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf("=");
      if (at === 0) throw new InvalidArgumentError(`the label ${text} has no key.`);
      return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
