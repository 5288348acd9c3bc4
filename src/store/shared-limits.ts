// What every shared store takes, so that one takes what another does.
import { keyAtMost } from "./store.js";
import { changesAtMost, type Condition, type SharedTransaction } from "./shared-store.js";

/** Bytes of a value as JSON, at most. */
export const valueAtMost = 255 * 1024;
/** Bytes of all keys and values of a transaction, at most: etcd takes requests of 1.5 MiB, as it comes. */
const transactionAtMost = 1024 * 1024;

/** A change as it is written: text, or undefined for a record to be removed. */
export interface WrittenChange {
  readonly key: string;
  readonly text: string | undefined;
}

/** Throws RangeError or TypeError for a transaction that no store takes. @returns its changes, written */
export function writeChanges({ requires, changes }: SharedTransaction): readonly WrittenChange[] {
  if (Math.max(requires.length, changes.length) > changesAtMost)
    throw new RangeError(`a transaction has at most ${changesAtMost} conditions and changes`);
  for (const condition of requires) checkCondition(condition);
  const written = changes.map(({ key, value }) => {
    checkKey(key);
    return { key, text: value === undefined ? undefined : valueText(key, value) };
  });
  if (new Set(written.map(({ key }) => key)).size < written.length) throw new RangeError("a key is changed twice");
  const size = written.reduce((sum, { key, text = "" }) => sum + Buffer.byteLength(key) + Buffer.byteLength(text), 0);
  if (size > transactionAtMost) throw new RangeError(`a transaction of ${size} bytes is too large`);
  return written;
}

/** Throws RangeError for a key that no record may have. */
export function checkKey(key: string): void {
  const bytes = Buffer.byteLength(key);
  // A lone half of a surrogate pair would come back as another key; control characters have a meaning in the embedded store.
  if (bytes === 0 || bytes > keyAtMost || Buffer.from(key).toString() !== key || /[\0-\x1f]/.test(key))
    throw new RangeError(`${JSON.stringify(key.slice(0, 80))} is no key of a record`);
}

/** A value as JSON. Throws TypeError for what JSON cannot hold, RangeError for what is too long. */
export function valueText(key: string, value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError(`${key} cannot be ${typeof value}`);
  if (Buffer.byteLength(text) > valueAtMost)
    throw new RangeError(`${key} cannot have ${Buffer.byteLength(text)} bytes`);
  return text;
}

function checkCondition(condition: Condition): void {
  if (condition.kind !== "none-below") checkKey(condition.key);
  if (condition.kind === "unchanged" && condition.revision < 1) throw new RangeError("no record has revision 0");
}
