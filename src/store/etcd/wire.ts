// How etcd's gateway writes protocol buffers as JSON: bytes in base64, 64-bit integers as text, and what is zero not at all.
import type { SharedRecord } from "../shared-store.js";

/** What an answer says of the store as a whole. */
export interface Header {
  readonly clusterId: string;
  readonly revision: number;
}

/** A key-value pair of etcd's. */
export interface Pair {
  readonly key: string;
  readonly revision: number;
  /** Text; empty when only keys were asked for. */
  readonly value: string;
}

/** An answer that is not what etcd sends. */
export class NonsenseError extends Error {}

export type Fields = Readonly<Record<string, unknown>>;

/** Bytes in base64; of no text it is the first key that etcd takes, so that ranges can begin with it. */
export function toBytes(text: string): string {
  return Buffer.from(text || "\0").toString("base64");
}

/** The fields of an object; none when it is missing. Throws NonsenseError. */
export function fieldsOf(value: unknown): Fields {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw new NonsenseError("an object is missing");
  return value as Fields;
}

/** Throws NonsenseError. */
export function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new NonsenseError("a list is missing");
  return value;
}

/** Throws NonsenseError for what is no integer that a number holds. */
export function integerOf(value: unknown): number {
  const number = value === undefined || value === null ? 0 : Number(value);
  if (!Number.isSafeInteger(number)) throw new NonsenseError("an integer is missing");
  return number;
}

export function textOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

/** Throws NonsenseError. */
export function headerOf(answer: Fields): Header {
  const header = fieldsOf(answer["header"]);
  const clusterId = textOf(header["cluster_id"]);
  if (clusterId === "") throw new NonsenseError("the number of the cluster is missing");
  return { clusterId, revision: integerOf(header["revision"]) };
}

/** Throws NonsenseError. */
export function pairOf(value: unknown): Pair {
  const pair = fieldsOf(value);
  return {
    key: fromBytes(pair["key"]),
    revision: integerOf(pair["mod_revision"]),
    value: fromBytes(pair["value"]),
  };
}

/** The record of a pair. What is not JSON, since another program wrote it, becomes undefined. */
export function recordOf(pair: Pair, prefix: string): SharedRecord {
  return { key: pair.key.slice(prefix.length), value: parsed(pair.value), revision: pair.revision };
}

/** The end of the range of all keys that begin so: the first key behind them. For no prefix it is etcd's word for "all". */
export function rangeEnd(prefix: string): string {
  const bytes = Buffer.from(prefix);
  const last = bytes.findLastIndex((byte) => byte < 0xff);
  if (last === -1) return Buffer.from([0]).toString("base64");
  const end = Buffer.from(bytes.subarray(0, last + 1));
  end[last]! += 1;
  return end.toString("base64");
}

function fromBytes(value: unknown): string {
  return Buffer.from(textOf(value), "base64").toString();
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
