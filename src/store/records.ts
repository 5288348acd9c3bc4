// How records are written: text that other tools can read, with the version of their kind.
import { keyAtMost, kinds, type Kind } from "./store.js";

/** In front of what was put aside. */
export const asidePrefix = "damaged/";

/** What a record's text says: a value, or why there is none. */
export type ReadRecord = { readonly value: unknown } | { readonly newerVersion: number } | { readonly damage: string };

/** The place of a record in the store. Throws RangeError for a key that no record may have. */
export function placeOf(kind: Kind, key: string): string {
  const bytes = Buffer.byteLength(key);
  // A lone half of a surrogate pair would come back as another key; control characters have a meaning in the store.
  if (bytes === 0 || bytes > keyAtMost || Buffer.from(key).toString() !== key || /[\0-\x1f]/.test(key))
    throw new RangeError(`${JSON.stringify(key.slice(0, 80))} is no key of a record`);
  return `${kind}/${key}`;
}

/** Which record has a place; undefined for what is no kind's. */
export function recordAt(place: string): { readonly kind: Kind; readonly key: string } | undefined {
  const slash = place.indexOf("/");
  const kind = place.slice(0, Math.max(slash, 0));
  return Object.hasOwn(kinds, kind) ? { kind: kind as Kind, key: place.slice(slash + 1) } : undefined;
}

/** Letters of a record's text, at most. */
const textAtMost = 256 * 1024;

/** The text of a record. Throws TypeError for what JSON cannot hold, RangeError for what is too long. */
export function recordText(kind: Kind, value: unknown): string {
  const text = JSON.stringify({ version: kinds[kind], value });
  if (JSON.stringify(value) === undefined) throw new TypeError(`a ${kind} cannot be ${typeof value}`);
  if (text.length > textAtMost) throw new RangeError(`a ${kind} cannot have ${text.length} letters`);
  return text;
}

/** Reads what {@link recordText} wrote, of this version or another. */
export function readRecord(kind: Kind, text: string): ReadRecord {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch {
    return { damage: "not JSON" };
  }
  if (typeof record !== "object" || record === null || !("version" in record)) return { damage: "has no version" };
  const { version } = record;
  if (typeof version !== "number" || !Number.isSafeInteger(version) || version < 1)
    return { damage: "has a version that is no number" };
  if (version > kinds[kind]) return { newerVersion: version };
  return "value" in record ? { value: record.value } : { damage: "has no value" };
}
