import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Budget } from "../../../linux/netlink/budget.js";
import type { Nfnetlink } from "../../../linux/netlink/nfnetlink.js";
import { Ruleset, type Chain, type ElementInfo, type SetInfo } from "../../../linux/netlink/nftables/ruleset.js";
import type { ChainName, SetName } from "../../../linux/netlink/nftables/transaction.js";
import { readLegacySave, type LegacyBook } from "../rules/legacy-words.js";
import type { BookRule, RuleBook } from "../rules/surroundings.js";

const families = ["inet", "ip", "ip6", "bridge"] as const;
const legacy = [
  { family: "ipv4", names: "ip_tables_names", program: "iptables-legacy-save" },
  { family: "ipv6", names: "ip6_tables_names", program: "ip6tables-legacy-save" },
] as const;
/** ms, and bytes, for iptables-legacy-save. */
const patience = 5000;
const savedAtMost = 64 << 20;

/** The rules of a namespace, each chain and set read when it is first asked for. */
export class KernelRules implements RuleBook {
  readonly #ruleset: Ruleset;
  readonly #rules = new Map<string, readonly BookRule[]>();
  readonly #sets = new Map<string, SetInfo | undefined>();
  #chains: readonly Chain[] | undefined;
  #legacy: LegacyBook | undefined;

  /** @param inside runs something in the namespace */
  constructor(
    nfnetlink: Nfnetlink,
    private readonly budget: Budget,
    private readonly inside: <Result>(work: () => Result) => Result,
  ) {
    this.#ruleset = new Ruleset(nfnetlink);
  }

  /** Throws RULES_TOO_MANY, RULES_CHANGING. */
  get chains(): readonly Chain[] {
    return (this.#chains ??= [
      ...families.flatMap((family) => this.#ruleset.chains(family, this.budget)),
      ...this.#legacyBook.chains,
    ]);
  }

  /** Throws as {@link chains} does. */
  rules(chain: ChainName): readonly BookRule[] {
    const key = `${chain.family} ${chain.table} ${chain.chain}`;
    const known = this.#rules.get(key) ?? this.#legacyBook.rules.get(`${chain.family} ${chain.table} ${chain.chain}`);
    if (known) return known;
    const read = this.#ruleset.rules(chain, this.budget);
    this.#rules.set(key, read);
    return read;
  }

  set(name: SetName): SetInfo | undefined {
    const key = `${name.family} ${name.table} ${name.set}`;
    if (!this.#sets.has(key)) this.#sets.set(key, this.#ruleset.set(name));
    return this.#sets.get(key);
  }

  element(name: SetName, key: Buffer): ElementInfo | undefined {
    return this.#ruleset.element(name, key);
  }

  get #legacyBook(): LegacyBook {
    return (this.#legacy ??= this.inside(readLegacyBook));
  }
}

/** Of the calling thread's namespace. Asking for a table that is not there would make it, so the kernel's list is looked at first. */
function readLegacyBook(): LegacyBook {
  const books = legacy
    .filter(({ names }) => hasTables(names))
    .map(({ family, program }) => {
      const { stdout, status } = spawnSync(program, [], {
        timeout: patience,
        maxBuffer: savedAtMost,
        encoding: "latin1",
      });
      return readLegacySave(status === 0 ? stdout : "", family);
    });
  return { chains: books.flatMap(({ chains }) => chains), rules: new Map(books.flatMap(({ rules }) => [...rules])) };
}

function hasTables(names: string): boolean {
  try {
    return readFileSync(`/proc/thread-self/net/${names}`, "latin1").trim() !== "";
  } catch {
    return false; // a kernel without such tables
  }
}
