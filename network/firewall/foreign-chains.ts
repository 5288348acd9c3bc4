import type { Budget } from "../../linux/netlink/budget.js";
import type { Expression } from "../../linux/netlink/nftables/expressions.js";
import { HOOK, REGISTER } from "../../linux/netlink/nftables/numbers.js";
import type { Chain, Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import type { ChainName } from "../../linux/netlink/nftables/transaction.js";
import { inetTable } from "./tables.js";

/** Chains are followed so deep; the kernel allows 16. */
const depthAtMost = 16;

/**
 * Chains of others that are asked about what is forwarded, or about what comes in to the host; those of iptables' nft variant are
 * among them, those of its legacy variant are not.
 */
export function foreignChains(all: readonly Chain[], hook: "forward" | "input"): Chain[] {
  return all
    .filter(({ at }) => at?.hook === HOOK[hook])
    .filter(({ family, table }) => !(family === inetTable.family && table === inetTable.table));
}

/**
 * Whether a chain refuses what comes to it unless a rule of its owner's accepts it, as one about `PASS_MARK` does: that the
 * firewall lets something pass does not help there. It drops by its policy, as Docker's and ufw's do, or has a rule that
 * refuses whatever comes to it, as firewalld's and many that people write. Throws what {@link Ruleset.rules} throws.
 */
export function refusesUnasked(chain: Chain, ruleset: Pick<Ruleset, "rules">, budget: Budget): boolean {
  return chain.policy === "drop" || refusesAll(chain, ruleset, budget, new Set());
}

/** Whether a chain has a rule that refuses whatever comes to it, or one that always leads to such a chain. */
function refusesAll(name: ChainName, ruleset: Pick<Ruleset, "rules">, budget: Budget, seen: Set<string>): boolean {
  if (seen.has(name.chain) || seen.size >= depthAtMost) return false;
  seen.add(name.chain);
  return ruleset.rules(name, budget).some(({ expressions }) => {
    if (!expressions.every(isForAll)) return false;
    const next = expressions.map(leadsTo).find((chain) => chain !== undefined);
    return next === undefined ? expressions.some(refuses) : refusesAll({ ...name, chain: next }, ruleset, budget, seen);
  });
}

/** Whether an expression lets every packet go on to the next one of its rule. */
function isForAll(expression: Expression): boolean {
  const { kind } = expression;
  if (kind === "match") return expression.name === "comment";
  return ["counter", "log", "immediate", "reject", "target"].includes(kind);
}

function refuses(expression: Expression): boolean {
  switch (expression.kind) {
    case "reject":
      return true;
    case "target":
      return expression.name === "REJECT";
    case "immediate":
      return verdictOf(expression)?.verdict === "drop";
    default:
      return false;
  }
}

function leadsTo(expression: Expression): string | undefined {
  const verdict = expression.kind === "immediate" ? verdictOf(expression) : undefined;
  return verdict && "chain" in verdict ? verdict.chain : undefined;
}

function verdictOf({ dreg, data }: Extract<Expression, { kind: "immediate" }>) {
  return dreg === REGISTER.verdict && data && "verdict" in data ? data : undefined;
}
