// Transactions as etcd has them: compares, what is done if all hold, and what is done otherwise.
import type { Committed, Condition, SharedTransaction } from "../shared-store.js";
import { writeChanges, type WrittenChange } from "../shared-limits.js";
import { fieldsOf, headerOf, listOf, NonsenseError, pairOf, rangeEnd, toBytes, type Fields } from "./wire.js";

/**
 * The body of `/v3/kv/txn`. What is done when a condition does not hold is to read what each of them is about, at that moment.
 * Throws RangeError, TypeError.
 * @param lease what the records go with, if they go with one
 */
export function transactionBody(prefix: string, transaction: SharedTransaction, lease?: string): Fields {
  const put = ({ key, text }: WrittenChange): Fields =>
    text === undefined
      ? { request_delete_range: { key: toBytes(prefix + key) } }
      : {
          request_put: { key: toBytes(prefix + key), value: toBytes(text), ...(lease === undefined ? {} : { lease }) },
        };
  return {
    compare: transaction.requires.map((condition) => compareOf(prefix, condition)),
    success: writeChanges(transaction).map(put),
    failure: transaction.requires.map((condition) => ({
      request_range: { ...rangeOf(prefix, condition), limit: "1", keys_only: true },
    })),
  };
}

/** What the answer says. Throws NonsenseError. */
export function committed({ requires }: SharedTransaction, answer: Fields): Committed {
  const { revision } = headerOf(answer);
  if (answer["succeeded"] === true) return { kind: "done", revision };
  const responses = listOf(answer["responses"]);
  const failed = requires.filter((condition, index) => {
    const range = fieldsOf(fieldsOf(responses[index])["response_range"]);
    return !holds(condition, listOf(range["kvs"]).map(pairOf)[0]?.revision);
  });
  if (failed.length === 0) throw new NonsenseError("no condition failed");
  return { kind: "refused", revision, failed };
}

function compareOf(prefix: string, condition: Condition): Fields {
  const range = rangeOf(prefix, condition);
  switch (condition.kind) {
    case "absent":
    case "none-below": // holds for each key of the range, and for none: etcd compares with a key without versions then
      return { ...range, target: "VERSION", result: "EQUAL", version: "0" };
    case "present":
      return { ...range, target: "VERSION", result: "GREATER", version: "0" };
    case "unchanged":
      return { ...range, target: "MOD", result: "EQUAL", mod_revision: String(condition.revision) };
  }
}

function rangeOf(prefix: string, condition: Condition): Fields {
  if (condition.kind !== "none-below") return { key: toBytes(prefix + condition.key) };
  const begin = prefix + condition.prefix;
  return { key: toBytes(begin), range_end: rangeEnd(begin) };
}

/** @param revision the one with which the record was changed last, or the first one below a prefix; undefined if there is none */
function holds(condition: Condition, revision: number | undefined): boolean {
  switch (condition.kind) {
    case "absent":
    case "none-below":
      return revision === undefined;
    case "present":
      return revision !== undefined;
    case "unchanged":
      return revision === condition.revision;
  }
}
