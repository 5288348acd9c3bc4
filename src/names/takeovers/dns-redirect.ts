import { familyOf } from "../../../common/address.js";
import type { Budget } from "../../../linux/netlink/budget.js";
import type { Expression } from "../../../linux/netlink/nftables/expressions.js";
import { HOOK, NAT, type Family } from "../../../linux/netlink/nftables/numbers.js";
import { ruleText } from "../../../linux/netlink/nftables/rule-text.js";
import type { Chain, Rule } from "../../../linux/netlink/nftables/ruleset.js";
import type { ChainName } from "../../../linux/netlink/nftables/transaction.js";
import { evaluate, type Packet, type SetSource } from "./rule-evaluation.js";

/** The rules of a namespace, asked for piece by piece: see Ruleset. */
export interface RuleSource extends SetSource {
  chains(family: Family, budget: Budget): Chain[];
  rules(chain: ChainName, budget: Budget): Rule[];
}

/** UDP and TCP, at whose port 53 questions are asked. */
const protocols = [17, 6];
const dnsPort = 53;
/** The kernel goes no deeper (NFT_JUMP_STACK_SIZE). */
const depthAtMost = 16;

/**
 * A rule that redirects DNS questions (a service mesh, a VPN client, a filter), found by following what the kernel would do
 * with one: through the chains a question passes and those they lead to, and no others. Tests on what is not known
 * of a question count as passed. A rule is about DNS only if it, or what leads to it, asks for port 53: who
 * redirects everything does not mean the resolver.
 * @param resolver address of this namespace's own, on its loopback; undefined for questions to anybody
 * @param isKnown chains that are no concern
 * @returns the rule, for people to read. Throws RULES_TOO_MANY, RULES_CHANGING, NetlinkError
 */
export function findDnsRedirect(
  source: RuleSource,
  resolver: string | undefined,
  isKnown: (chain: ChainName) => boolean,
  budget: Budget,
): string | undefined {
  const families: Family[] =
    resolver === undefined ? ["ip", "inet", "ip6"] : [familyOf(resolver) === "ipv4" ? "ip" : "ip6", "inet"];
  // What is asked on the loopback is redirected on its way out, or not at all: one connection, one translation.
  const hooks: number[] = resolver === undefined ? [HOOK.output, HOOK.prerouting] : [HOOK.output];
  const known = remembering(source);
  for (const family of families) {
    const chains = source.chains(family, budget).filter((chain) => !isKnown(chain));
    for (const protocol of protocols) {
      const packet: Packet = {
        protocol,
        port: dnsPort,
        to: resolver,
        through: resolver === undefined ? undefined : "lo",
        isV6: family === "ip6",
      };
      const found = new Walk(known, chains, packet, budget).from(hooks);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** UDP and TCP pass the same chains: each is read once. */
function remembering(source: RuleSource): RuleSource {
  const known = new Map<string, Rule[]>();
  return {
    chains: (family, budget) => source.chains(family, budget),
    set: (name) => source.set(name),
    element: (name, key) => source.element(name, key),
    elements: (name, budget) => source.elements(name, budget),
    rules: (chain, budget) => {
      const key = `${chain.family} ${keyOf(chain, chain.chain)}`;
      const rules = known.get(key) ?? source.rules(chain, budget);
      known.set(key, rules);
      return rules;
    },
  };
}

function redirects(expression: Expression): boolean {
  if (expression.kind === "nat") return expression.way === NAT.destination;
  if (expression.kind === "target") return ["DNAT", "REDIRECT", "TPROXY"].includes(expression.name ?? "");
  return expression.kind === "redir" || expression.kind === "tproxy";
}

class Walk {
  readonly #byName = new Map<string, Chain>();
  /** Chains that were walked, with and without a test for the port before. */
  readonly #walked = new Set<string>();

  constructor(
    private readonly source: RuleSource,
    private readonly chains: readonly Chain[],
    private readonly packet: Packet,
    private readonly budget: Budget,
  ) {
    for (const chain of chains) this.#byName.set(keyOf(chain, chain.chain), chain);
  }

  from(hooks: readonly number[]): string | undefined {
    for (const chain of this.chains) {
      const found = chain.at && hooks.includes(chain.at.hook) ? this.#walk(chain, false, 0) : undefined;
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** @param isAboutDns the port was asked for on the way here */
  #walk(chain: Chain, isAboutDns: boolean, depth: number): string | undefined {
    const key = `${isAboutDns ? 1 : 0}${keyOf(chain, chain.chain)}`;
    if (depth > depthAtMost || this.#walked.has(key)) return undefined;
    this.#walked.add(key);
    for (const { expressions } of this.source.rules(chain, this.budget)) {
      const reach = evaluate(expressions, this.packet, this.source, chain, this.budget);
      if (!reach) continue;
      const aboutDns = isAboutDns || reach.asksForPort;
      if (aboutDns && expressions.some(redirects)) return ruleText(expressions);
      for (const target of reach.jumps) {
        const next = this.#byName.get(keyOf(chain, target));
        const found = next && this.#walk(next, aboutDns, depth + 1);
        // The rule that asks for the port tells more than the one that then redirects whatever comes.
        if (found !== undefined) return reach.asksForPort ? ruleText(expressions) : found;
      }
    }
    return undefined;
  }
}

/** Chains lead to others of their own table only. */
function keyOf({ table }: ChainName, chain: string): string {
  return `${table}\0${chain}`;
}
