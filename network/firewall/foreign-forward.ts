import type { Budget } from "../../linux/netlink/budget.js";
import { HOOK } from "../../linux/netlink/nftables/numbers.js";
import type { Chain, Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import { inetTable } from "./tables.js";

/**
 * Chains of others (Docker's, ufw's) that drop what is forwarded unless a rule of theirs accepts it, as one about
 * `PASS_MARK` does: that the firewall lets something pass does not help there. Those of iptables' nft variant are among
 * them, those of its legacy variant are not; nor is a chain that accepts and ends with a rule that drops.
 * Throws what {@link Ruleset.chains} throws.
 */
export function droppingForwardChains(ruleset: Pick<Ruleset, "chains">, budget: Budget): Chain[] {
  return (["ip", "ip6", "inet"] as const)
    .flatMap((family) => ruleset.chains(family, budget))
    .filter(
      ({ family, table, at, policy }) =>
        at?.hook === HOOK.forward && policy === "drop" && !(family === inetTable.family && table === inetTable.table),
    );
}
