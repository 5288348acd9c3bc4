import type { Budget } from "../../linux/netlink/budget.js";
import { NetlinkError, type Nfnetlink } from "../../linux/netlink/nfnetlink.js";
import type { ChainName } from "../../linux/netlink/nftables/transaction.js";
import type { Chain, Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import { accept, counter, meta } from "../../linux/netlink/nftables/statements.js";
import { Transaction } from "../../linux/netlink/nftables/transaction.js";
import { refusingForwardChains } from "./foreign-forward.js";
import { PASS_MARK } from "./wanted.js";

/** By which the rule is known again. */
export const foreignRuleComment = "pontoon";
/** Chains that their owners leave to users: Docker's, ufw's. */
const chainsForUsers: readonly string[] = ["DOCKER-USER", "ufw-user-forward", "ufw6-user-forward"];

/** Where rules of pontoon's stand in tables of others. */
export interface ForeignPlaces {
  readonly all: readonly ChainName[];
  /** Those that have got one just now. */
  readonly added: readonly ChainName[];
  /** Where there ought to be one, but the table belongs to another process. */
  readonly refused: readonly ChainName[];
}

/**
 * One rule in each table of others that refuses what is forwarded: it accepts what carries {@link PASS_MARK}. It stands in the chain
 * that is left to users, where there is one, and else first in the chain that refuses.
 */
export class ForeignAccept {
  constructor(
    private readonly nfnetlink: Nfnetlink,
    private readonly ruleset: Ruleset,
    private readonly budget: () => Budget,
  ) {}

  /** Sees to it that the rules are there. Throws NetlinkError. */
  put(): ForeignPlaces {
    const budget = this.budget();
    const wanted = refusingForwardChains(this.ruleset, budget).map((chain) => this.#placeIn(chain, budget));
    const lacking = wanted.filter((place) => this.#handles(place, budget).length === 0);
    const refused = lacking.filter((place) => !this.#insert(place));
    const stands = (place: ChainName) => !refused.includes(place);
    return { all: wanted.filter(stands), added: lacking.filter(stands), refused };
  }

  #insert(place: ChainName): boolean {
    try {
      new Transaction()
        .insertRule(place, [meta.mark.masks(PASS_MARK, PASS_MARK), counter, accept], foreignRuleComment)
        .commit(this.nfnetlink);
      return true;
    } catch (error) {
      if (error instanceof NetlinkError && error.code === "EPERM") return false;
      throw error;
    }
  }

  /** Takes them all away. Throws NetlinkError. */
  remove(): void {
    const budget = this.budget();
    const transaction = new Transaction();
    let found = 0;
    for (const family of ["ip", "ip6", "inet"] as const)
      for (const { table, chain, at } of this.ruleset.chains(family, budget)) {
        if (!at && !chainsForUsers.includes(chain)) continue;
        for (const handle of this.#handles({ family, table, chain }, budget)) {
          transaction.deleteRules({ family, table, chain }, handle);
          found++;
        }
      }
    if (found > 0) transaction.commit(this.nfnetlink);
  }

  #placeIn({ family, table, chain }: Chain, budget: Budget): ChainName {
    const others = this.ruleset.chains(family, budget).filter((other) => other.table === table);
    const forUsers = chainsForUsers.find((name) => others.some((other) => other.chain === name));
    return { family, table, chain: forUsers ?? chain };
  }

  #handles(place: ChainName, budget: Budget): number[] {
    return this.ruleset
      .rules(place, budget)
      .filter(({ comment }) => comment === foreignRuleComment)
      .map(({ handle }) => handle);
  }
}
