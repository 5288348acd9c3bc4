import type { Element, Transaction } from "../../linux/netlink/nftables/transaction.js";
import type { Contents, Entry } from "./contents.js";
import { sets, type SetId } from "./tables.js";

/** What is to be taken out of the sets, then put into them. */
export interface Difference {
  readonly removed: readonly Entry[];
  readonly added: readonly Entry[];
}

/** What makes `wanted` of `seen`. An entry that became another is removed and added. */
export function differenceOf(seen: Contents, wanted: Contents): Difference {
  const removed: Entry[] = [];
  const added: Entry[] = [];
  for (const [set, entries] of seen)
    for (const entry of entries.values()) if (!isSame(entry, wanted.get(set)?.get(entry.id))) removed.push(entry);
  for (const [set, entries] of wanted)
    for (const entry of entries.values()) if (!isSame(entry, seen.get(set)?.get(entry.id))) added.push(entry);
  return { removed, added };
}

export function isSame(one: Entry, other: Entry | undefined): boolean {
  if (one === other) return true;
  return other?.elements.every((element, index) => isSameElement(element, one.elements[index]!)) ?? false;
}

/** Their keys are the same. */
function isSameElement(one: Element, other: Element): boolean {
  return one.comment === other.comment && dataOf(one).equals(dataOf(other));
}

const none = Buffer.alloc(0);

function dataOf({ data }: Element): Buffer {
  return data && "bytes" in data ? data.bytes : none;
}

/** Adds the changes to a transaction, removals first: a key may return with other data. */
export function writeDifference(transaction: Transaction, { removed, added }: Difference): void {
  for (const [set, elements] of elementsBySet(removed)) transaction.deleteElements(sets.get(set)!, elements);
  for (const [set, elements] of elementsBySet(added)) transaction.addElements(sets.get(set)!, elements);
}

function elementsBySet(entries: readonly Entry[]): Map<SetId, Element[]> {
  const bySet = new Map<SetId, Element[]>();
  for (const { set, elements } of entries) {
    const list = bySet.get(set);
    if (list) list.push(...elements);
    else bySet.set(set, [...elements]);
  }
  return bySet;
}
