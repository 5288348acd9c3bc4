// What a message of another process must look like. Strict, and quick enough for every message; nothing here throws.

/** Whether a value is what it should be. */
export type Shape = (value: unknown) => boolean;

/** A shape for each field of a record. Further fields are let pass, and must not be used. */
export type Fields<Record> = { readonly [Field in keyof Record]-?: Shape };

/** For each kind of message, the shapes of its other fields. */
export type ShapesOf<Message extends { readonly kind: string }> = {
  readonly [Kind in Message["kind"]]: Fields<Omit<Extract<Message, { readonly kind: Kind }>, "kind">>;
};

/** @returns a reader that gives back what is one of the messages, and undefined for anything else */
export function messageReader<Message extends { readonly kind: string }>(
  shapes: ShapesOf<Message>,
): (value: unknown) => Message | undefined {
  const byKind = new Map<unknown, Shape>(
    Object.entries<Fields<object>>(shapes).map(([kind, fields]) => [kind, record(fields)]),
  );
  return (value) => {
    if (!isRecord(value)) return undefined;
    return byKind.get(value.kind)?.(value) === true ? (value as unknown as Message) : undefined;
  };
}

/** @returns a reader that gives back what has the shape, and undefined for anything else */
export function readerOf<Of>(shape: Shape): (value: unknown) => Of | undefined {
  return (value) => (shape(value) ? (value as Of) : undefined);
}

export function record<Of>(fields: Fields<Of>): Shape {
  const shapes = Object.entries<Shape>(fields);
  return (value) =>
    isRecord(value) && shapes.every(([name, fits]) => fits(Object.hasOwn(value, name) ? value[name] : undefined));
}

export function optional(shape: Shape): Shape {
  return (value) => value === undefined || shape(value);
}

export function oneOf(...values: readonly unknown[]): Shape {
  return (value) => values.includes(value);
}

export function anyOf(...shapes: readonly Shape[]): Shape {
  return (value) => shapes.some((fits) => fits(value));
}

export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Shape {
  return (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}

/** Finite, and not negative. */
export const amount: Shape = (value) => typeof value === "number" && value >= 0 && value < Infinity;

export const flag: Shape = (value) => typeof value === "boolean";

/** @param longest characters */
export function text(longest: number): Shape {
  return (value) => typeof value === "string" && value.length <= longest;
}

/** As {@link text}, and not empty. */
export function word(longest: number): Shape {
  return (value) => typeof value === "string" && value.length > 0 && value.length <= longest;
}

export function listOf(shape: Shape, most: number): Shape {
  return (value) => Array.isArray(value) && value.length <= most && value.every(shape);
}

/** An array with exactly these. */
export function tuple(...shapes: readonly Shape[]): Shape {
  return (value) =>
    Array.isArray(value) && value.length === shapes.length && shapes.every((fits, index) => fits(value[index]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
