import { PontoonError } from "../../../common/errors.js";
import { HOOK, type Family, type Hook } from "../../../linux/netlink/nftables/numbers.js";
import type { Chain } from "../../../linux/netlink/nftables/ruleset.js";
import type { ChainName } from "../../../linux/netlink/nftables/transaction.js";
import { afterEffect, type Effect } from "./effects.js";
import type { Packet } from "./packet.js";
import { applyRule } from "./rule.js";
import type { BookRule, RuleBook, Surroundings } from "./surroundings.js";

/** Where in the rules something was decided. */
export interface RulePlace {
  readonly chain: ChainName;
  /** Undefined for a chain's policy. */
  readonly rule: BookRule | undefined;
}

/** What a base chain has decided on a packet. */
export interface Ruling {
  /** The chain at the hook. */
  readonly base: Chain;
  readonly effect: Effect;
  readonly by: RulePlace;
  /** Rules that may have decided otherwise, and what of them could not be judged. */
  readonly doubts: readonly (RulePlace & { readonly effect: Effect; readonly doubt: string })[];
}

/** What all chains of a hook come to. */
export interface Passage {
  /** In the order in which chains see the packet. The last one decided, if it is refused. */
  readonly rulings: readonly Ruling[];
  readonly packet: Packet;
  readonly isRefused: boolean;
}

/** The kernel goes no deeper (`NFT_JUMP_STACK_SIZE`), and does not go round in circles. */
const depthAtMost = 16;
/** Rules that are looked at for one packet at one hook: chains can jump to one another in more ways than could ever be followed. */
const looksAtMost = 200_000;
/** Where all chains of NAT are asked, whatever their own order (`NF_IP_PRI_NAT_DST`, `NF_IP_PRI_NAT_SRC`). */
const natPriority = { prerouting: -100, output: -100, input: 100, postrouting: 100, forward: 0 } as const;

/** Takes a packet through the chains of a hook. Throws RULES_TOO_MANY, and what reading of rules throws. */
export function passHook(
  book: RuleBook,
  hook: Hook,
  packet: Packet,
  surroundings: Surroundings,
  layer: "ip" | "bridge" = "ip",
): Passage {
  const families: readonly Family[] =
    layer === "bridge" ? ["bridge"] : ["inet", packet.family === "ipv4" ? "ip" : "ip6"];
  const rulings: Ruling[] = [];
  let current = packet;
  let isTranslated = false;
  const looks = { left: looksAtMost };
  for (const base of chainsAt(book.chains, hook, families)) {
    const isNat = base.at?.type === "nat";
    if (isNat && (isTranslated || packet.isKnown)) continue; // one translation of each kind for a connection
    const visit = new Visit(book, surroundings, current, looks);
    const outcome = visit.base(base);
    rulings.push({ base, ...outcome, doubts: visit.doubts });
    current = afterEffect(visit.packet, outcome.effect, surroundings);
    if (isNat && isTranslation(outcome.effect)) isTranslated = true;
    if (isRefusal(outcome.effect)) return { rulings, packet: current, isRefused: true };
  }
  return { rulings, packet: current, isRefused: false };
}

/** Chains of a hook, in the order in which they see a packet. */
export function chainsAt(chains: readonly Chain[], hook: Hook, families: readonly Family[]): Chain[] {
  const order = ({ at }: Chain) => (at?.type === "nat" ? natPriority[hook] : (at?.priority ?? 0));
  return chains
    .filter(({ at, family }) => at?.hook === HOOK[hook] && families.includes(family))
    .sort((one, other) => order(one) - order(other) || (one.at?.priority ?? 0) - (other.at?.priority ?? 0));
}

export function isRefusal(effect: Effect): boolean {
  return effect.kind === "verdict" && (effect.verdict === "drop" || effect.verdict === "reject");
}

export function isTranslation({ kind }: Effect): boolean {
  return kind === "destination" || kind === "source" || kind === "masquerade" || kind === "redirect";
}

interface Outcome {
  readonly effect: Effect;
  readonly by: RulePlace;
}

class Visit {
  readonly doubts: (RulePlace & { effect: Effect; doubt: string })[] = [];

  constructor(
    private readonly book: RuleBook,
    private readonly surroundings: Surroundings,
    public packet: Packet,
    private readonly looks: { left: number },
  ) {}

  base(base: Chain): Outcome {
    const decided = this.#chain(base, 0);
    if (decided) return decided;
    const verdict = base.policy === "drop" ? "drop" : "accept";
    return { effect: { kind: "verdict", verdict }, by: { chain: base, rule: undefined } };
  }

  /** @returns undefined when no rule has decided */
  #chain(chain: ChainName, depth: number): Outcome | undefined {
    if (depth > depthAtMost) return undefined;
    for (const rule of this.book.rules(chain)) {
      this.#spend(chain);
      const applied = applyRule(rule.expressions, this.packet, chain, this.book, this.surroundings);
      if (!applied) continue;
      const by = { chain, rule };
      if (applied.doubt !== undefined) {
        this.#doubt(by, applied.effect, applied.doubt, depth);
        continue;
      }
      this.packet = applied.packet;
      const { effect } = applied;
      if (effect.kind === "none") continue;
      if (effect.kind !== "verdict") return { effect, by };
      if (effect.verdict === "continue") continue;
      if (effect.verdict === "return") return undefined;
      if (effect.verdict !== "jump" && effect.verdict !== "goto") return { effect, by };
      const found = this.#chain({ ...chain, chain: effect.chain ?? "" }, depth + 1);
      if (found || effect.verdict === "goto") return found;
    }
    return undefined;
  }

  #spend({ family, table, chain }: ChainName): void {
    if (--this.looks.left >= 0) return;
    const name = `${family} ${table} ${chain}`;
    throw new PontoonError("RULES_TOO_MANY", name, `${name}: a packet meets more firewall rules than are followed`);
  }

  /** What may apply is told, and passed by. What stands behind a jump counts as what the jump may do. */
  #doubt(by: RulePlace, effect: Effect, doubt: string, depth: number): void {
    const leads = effect.kind === "verdict" && (effect.verdict === "jump" || effect.verdict === "goto");
    if (!leads) {
      if (effect.kind !== "none") this.doubts.push({ ...by, effect, doubt });
      return;
    }
    const aside = new Visit(this.book, this.surroundings, this.packet, this.looks);
    const found = aside.#chain({ ...by.chain, chain: effect.chain ?? "" }, depth + 1);
    if (found) this.doubts.push({ ...found.by, effect: found.effect, doubt });
  }
}
