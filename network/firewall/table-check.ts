import type { Budget } from "../../linux/netlink/budget.js";
import type { Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import { type ElementInfo } from "../../linux/netlink/nftables/ruleset.js";
import type { Element, TableName } from "../../linux/netlink/nftables/transaction.js";
import type { Contents } from "./contents.js";
import { sets } from "./tables.js";

/** Chains of a table with their hooks, and the handles of their rules: a rule that is made again has another. */
export function readRules(ruleset: Ruleset, table: TableName, budget: Budget): string {
  const chains = ruleset
    .chains(table.family, budget)
    .filter((chain) => chain.table === table.table)
    .sort((a, b) => (a.chain < b.chain ? -1 : 1));
  return JSON.stringify([
    ruleset.table(table)?.flags,
    chains.map(({ chain, at, policy }) => [
      chain,
      at ?? null,
      policy ?? null,
      ruleset.rules({ ...table, chain }, budget).map(({ handle }) => handle),
    ]),
  ]);
}

/** Whether the sets of a table hold just that. */
export function holds(ruleset: Ruleset, table: TableName, contents: Contents, budget: Budget): boolean {
  return [...sets].every(([id, set]) => {
    if (set.family !== table.family) return true;
    if (ruleset.set(set) === undefined) return false;
    const wanted = new Set(
      [...(contents.get(id)?.values() ?? [])].flatMap(({ elements }) => elements.map((element) => textOf(element))),
    );
    const seen = ruleset.elements(set, budget);
    return seen.length === wanted.size && seen.every((element) => wanted.has(textOf(element)));
  });
}

/** Keys, kind and data of an element; comments are for people. */
function textOf({ key, keyEnd, data, endsRange = false }: Element | ElementInfo): string {
  const bytes = data && "bytes" in data ? data.bytes : undefined;
  const parts = [key, keyEnd, bytes].map((part) => part?.toString("hex") ?? "");
  return `${parts.join(" ")} ${String(endsRange)}`;
}
