import type { Budget } from "../../linux/netlink/budget.js";
import { NetlinkError, type KeptNfnetlink, type Nfnetlink } from "../../linux/netlink/nfnetlink.js";
import { Transaction, type ChainName } from "../../linux/netlink/nftables/transaction.js";
import { HOOK } from "../../linux/netlink/nftables/numbers.js";
import { Ruleset, type Chain } from "../../linux/netlink/nftables/ruleset.js";
import { accept, counter, meta } from "../../linux/netlink/nftables/statements.js";
import { chainsForUsers, foreignRuleComment } from "./chains-for-users.js";
import { foreignChains, refusesUnasked } from "./foreign-chains.js";
import { PASS_MARK } from "./wanted.js";

const families = ["ip", "ip6", "inet"] as const;
const firewalldTable = "firewalld";

/** Where rules of pontoon's stand in tables of others, `ip filter DOCKER-USER`. */
export interface ForeignPlaces {
  readonly all: readonly string[];
  /** Those that have got one just now. */
  readonly added: readonly string[];
  /** Where there ought to be one, and why there is none: the table may belong to another process, or have a name that is no text. */
  readonly refused: ReadonlyMap<string, string>;
  /** Tells one load of firewalld's rules from another; undefined where there are none. */
  readonly firewalld?: string | undefined;
}

/**
 * One rule in each table of others that refuses what is forwarded, or what comes in where that is asked for: it accepts what
 * carries {@link PASS_MARK}. It stands in the chain that is left to users, where there is one, and else first in the chain that
 * refuses. Works in the network namespace of its connection, which is no other's: one that had to give up among others' rules
 * cannot be used any more.
 */
export class ForeignAccept {
  /** Handles of rules that were seen, by place: looking whether one is still there takes no reading of the whole chain. */
  readonly #known = new Map<string, number>();

  /** @param budget for what is read of others' rules */
  constructor(
    private readonly connection: KeptNfnetlink,
    private readonly budget: () => Budget,
  ) {}

  /**
   * Sees to it that the rules are there. Throws what {@link Ruleset.chains} throws.
   * @param withInput also for what comes in to the host, as packets of overlay networks do
   */
  put({ withInput = false } = {}): ForeignPlaces {
    const places = { all: new Set<string>(), added: new Set<string>(), refused: new Map<string, string>() };
    const firewalld: string[] = [];
    this.connection.with((nfnetlink) => {
      const [ruleset, budget] = [new Ruleset(nfnetlink), this.budget()];
      for (const family of families) {
        const chains = ruleset.chains(family, budget);
        const asked = [...foreignChains(chains, "forward"), ...(withInput ? foreignChains(chains, "input") : [])];
        for (const chain of asked) {
          if (chain.table === firewalldTable) firewalld.push(`${family} ${ruleset.table(chain)?.handle}`);
          const place = placeIn(chain, chains);
          const found = this.#find(place, ruleset, budget, () => refusesUnasked(chain, ruleset, budget));
          if (found === "needless" || places.all.has(textOf(place))) continue;
          const refusal = found === "lacking" ? insert(place, nfnetlink) : undefined;
          if (refusal !== undefined) {
            places.refused.set(textOf(place), refusal);
            continue;
          }
          places.all.add(textOf(place));
          if (found === "lacking") places.added.add(textOf(place));
        }
      }
    });
    return {
      all: [...places.all],
      added: [...places.added],
      refused: places.refused,
      firewalld: firewalld.length > 0 ? firewalld.join() : undefined,
    };
  }

  /** Takes them all away. Throws what {@link Ruleset.chains} throws. */
  remove(): void {
    this.#known.clear();
    this.connection.with((nfnetlink) => {
      const [ruleset, budget] = [new Ruleset(nfnetlink), this.budget()];
      const transaction = new Transaction();
      let found = 0;
      for (const family of families)
        for (const { table, chain, at } of ruleset.chains(family, budget)) {
          if (!at && !chainsForUsers.includes(chain)) continue;
          for (const handle of handlesIn({ family, table, chain }, ruleset, budget)) {
            transaction.deleteRules({ family, table, chain }, handle);
            found++;
          }
        }
      if (found > 0) transaction.commit(nfnetlink);
    });
  }

  #find(place: ChainName, ruleset: Ruleset, budget: Budget, isNeeded: () => boolean): "there" | "lacking" | "needless" {
    const known = this.#known.get(textOf(place));
    if (known !== undefined && ruleset.hasRule(place, known)) return "there";
    this.#known.delete(textOf(place));
    if (!isNeeded()) return "needless";
    const [handle] = handlesIn(place, ruleset, budget);
    if (handle === undefined) return "lacking";
    this.#known.set(textOf(place), handle);
    return "there";
  }
}

function placeIn({ family, table, chain, at }: Chain, all: readonly Chain[]): ChainName {
  if (at?.hook === HOOK.input) return { family, table, chain };
  const forUsers = chainsForUsers.find((name) => all.some((other) => other.table === table && other.chain === name));
  return { family, table, chain: forUsers ?? chain };
}

/** @returns why it cannot be */
function insert(place: ChainName, nfnetlink: Nfnetlink): string | undefined {
  try {
    new Transaction()
      .insertRule(place, [meta.mark.masks(PASS_MARK, PASS_MARK), counter, accept], foreignRuleComment)
      .commit(nfnetlink);
    return undefined;
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return error.code === "EPERM" ? "the table belongs to another process" : error.message;
  }
}

function handlesIn(place: ChainName, ruleset: Ruleset, budget: Budget): number[] {
  return ruleset
    .rules(place, budget)
    .filter(({ comment }) => comment === foreignRuleComment)
    .map(({ handle }) => handle);
}

function textOf({ family, table, chain }: ChainName): string {
  return `${family} ${table} ${chain}`;
}
