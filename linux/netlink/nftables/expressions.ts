import { Attributes, attributesIn, type AttributeWriter } from "../attributes.js";
import { LIST_ELEMENT, VERDICT, type VerdictName } from "./numbers.js";

// What a rule is made of (`nft_expr`), as the kernel has it: each kind with its attributes. One table serves for writing and reading.

/** A value in a register: bytes, or what becomes of the packet. */
export type Data = { readonly bytes: Buffer } | { readonly verdict: VerdictName; readonly chain?: string };

const schemas = {
  immediate: { dreg: [1, "u32"], data: [2, "data"] },
  bitwise: {
    sreg: [1, "u32"],
    dreg: [2, "u32"],
    length: [3, "u32"],
    mask: [4, "data"],
    xor: [5, "data"],
    operation: [6, "u32"],
    data: [7, "data"],
  },
  byteorder: { sreg: [1, "u32"], dreg: [2, "u32"], operation: [3, "u32"], length: [4, "u32"], size: [5, "u32"] },
  cmp: { sreg: [1, "u32"], operation: [2, "u32"], data: [3, "data"] },
  range: { sreg: [1, "u32"], operation: [2, "u32"], from: [3, "data"], to: [4, "data"] },
  lookup: { set: [1, "text"], sreg: [2, "u32"], dreg: [3, "u32"], setId: [4, "u32"], flags: [5, "u32"] },
  dynset: {
    set: [1, "text"],
    setId: [2, "u32"],
    operation: [3, "u32"],
    keyRegister: [4, "u32"],
    dataRegister: [5, "u32"],
    timeout: [6, "u64"],
    flags: [9, "u32"],
  },
  payload: {
    dreg: [1, "u32"],
    base: [2, "u32"],
    offset: [3, "u32"],
    length: [4, "u32"],
    sreg: [5, "u32"],
    checksum: [6, "u32"],
    checksumOffset: [7, "u32"],
    checksumFlags: [8, "u32"],
  },
  exthdr: {
    dreg: [1, "u32"],
    header: [2, "u8"],
    offset: [3, "u32"],
    length: [4, "u32"],
    flags: [5, "u32"],
    operation: [6, "u32"],
    sreg: [7, "u32"],
  },
  meta: { dreg: [1, "u32"], key: [2, "u32"], sreg: [3, "u32"] },
  ct: { dreg: [1, "u32"], key: [2, "u32"], direction: [3, "u8"], sreg: [4, "u32"] },
  limit: { rate: [1, "u64"], unit: [2, "u64"], burst: [3, "u32"], of: [4, "u32"], flags: [5, "u32"] },
  counter: { bytes: [1, "u64"], packets: [2, "u64"] },
  log: {
    group: [1, "u16"],
    prefix: [2, "text"],
    length: [3, "u32"],
    threshold: [4, "u16"],
    level: [5, "u32"],
    flags: [6, "u32"],
  },
  reject: { how: [1, "u32"], code: [2, "u8"] },
  nat: {
    way: [1, "u32"],
    family: [2, "u32"],
    addressFrom: [3, "u32"],
    addressTo: [4, "u32"],
    portFrom: [5, "u32"],
    portTo: [6, "u32"],
    flags: [7, "u32"],
  },
  masq: { flags: [1, "u32"], portFrom: [2, "u32"], portTo: [3, "u32"] },
  redir: { portFrom: [1, "u32"], portTo: [2, "u32"], flags: [3, "u32"] },
  tproxy: { family: [1, "u32"], addressRegister: [2, "u32"], portRegister: [3, "u32"] },
  notrack: {},
  fib: { dreg: [1, "u32"], result: [2, "u32"], flags: [3, "u32"] },
  socket: { key: [1, "u32"], dreg: [2, "u32"], level: [3, "u32"] },
  /** Of iptables' nft variant: its matches and targets, with their own structs in `info`. */
  match: { name: [1, "text"], revision: [2, "u32"], info: [3, "raw"] },
  target: { name: [1, "text"], revision: [2, "u32"], info: [3, "raw"] },
} as const satisfies Record<string, Record<string, readonly [number, FieldType]>>;

type Fields = readonly (readonly [name: string, type: number, kind: FieldType])[];
const fieldsOf = new Map<string, Fields>(
  Object.entries(schemas).map(([kind, fields]) => [
    kind,
    Object.entries(fields as Record<string, readonly [number, FieldType]>).map(
      ([name, [type, field]]) => [name, type, field] as const,
    ),
  ]),
);

type FieldType = "u8" | "u16" | "u32" | "u64" | "text" | "raw" | "data";
type Value<Type extends FieldType> = Type extends "text"
  ? string
  : Type extends "raw"
    ? Buffer
    : Type extends "data"
      ? Data
      : number;
type Schemas = typeof schemas;
export type ExpressionKind = keyof Schemas;

/** An expression of a known kind. Whether it has the fields its kind needs is checked by the kernel, or by the reader. */
export type ExpressionOf<Kind extends ExpressionKind> = { readonly kind: Kind } & {
  readonly [Field in keyof Schemas[Kind]]?: Schemas[Kind][Field] extends readonly [number, infer Type extends FieldType]
    ? Value<Type>
    : never;
};
export type KnownExpression = { [Kind in ExpressionKind]: ExpressionOf<Kind> }[ExpressionKind];
export type Expression = KnownExpression | { readonly kind: "unknown"; readonly name: string };

/** Writes expressions as the list that is an attribute of a rule. */
export function writeExpressions(writer: AttributeWriter, type: number, expressions: readonly KnownExpression[]): void {
  writer.nest(type, () => {
    for (const expression of expressions)
      writer.nest(LIST_ELEMENT, () => {
        writer.text(1, expression.kind);
        const fields = fieldsOf.get(expression.kind)!;
        if (fields.length > 0) writer.nest(2, () => writeFields(writer, fields, expression));
      });
  });
}

function writeFields(writer: AttributeWriter, fields: Fields, values: Record<string, unknown>): void {
  for (const [name, type, kind] of fields) {
    const value = values[name];
    if (value === undefined) continue;
    if (kind === "data") writeData(writer, type, value as Data);
    else if (kind === "text") writer.text(type, value as string);
    else if (kind === "raw") writer.raw(type, value as Buffer);
    else writer[kind](type, value as number);
  }
}

export function writeData(writer: AttributeWriter, type: number, data: Data): void {
  writer.nest(type, () => {
    if ("bytes" in data) return writer.raw(1, data.bytes);
    writer.nest(2, () => {
      writer.u32(1, VERDICT[data.verdict]);
      if (data.chain !== undefined) writer.text(2, data.chain);
    });
  });
}

/** Reads the list of a rule. An expression that is not known, or has an unexpected form, is `unknown`. */
export function readExpressions(list: Buffer): Expression[] {
  const expressions: Expression[] = [];
  for (const [type, part] of attributesIn(list))
    if (type === LIST_ELEMENT) expressions.push(readExpression(new Attributes(part)));
  return expressions;
}

function readExpression(attributes: Attributes): Expression {
  const name = attributes.text(1) ?? "";
  const fields = fieldsOf.get(name);
  if (!fields) return { kind: "unknown", name };
  const values = attributes.nested(2);
  const expression: Record<string, unknown> = { kind: name };
  for (const [field, type, kind] of fields) {
    const value = values && readField(values, type, kind);
    if (value !== undefined) expression[field] = value;
    else if (values?.has(type)) return { kind: "unknown", name };
  }
  return expression as unknown as KnownExpression;
}

function readField(attributes: Attributes, type: number, kind: FieldType): string | number | Buffer | Data | undefined {
  if (kind === "data") return readData(attributes.nested(type));
  if (kind !== "raw") return attributes[kind](type);
  const raw = attributes.raw(type);
  return raw && Buffer.from(raw); // the memory it lies in is used again
}

const verdictNames = new Map(Object.entries(VERDICT).map(([name, code]) => [code as number, name as VerdictName]));

export function readData(attributes: Attributes | undefined): Data | undefined {
  const bytes = attributes?.raw(1);
  if (bytes) return { bytes: Buffer.from(bytes) };
  const verdict = attributes?.nested(2);
  const code = verdict?.u32(1);
  const name = code === undefined ? undefined : verdictNames.get(code | 0);
  if (name === undefined) return undefined;
  const chain = verdict?.text(2);
  return { verdict: name, ...(chain !== undefined && { chain }) };
}
