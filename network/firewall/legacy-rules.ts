import { chainsForUsers } from "./chains-for-users.js";

// What `iptables-legacy -S` prints: `-P FORWARD DROP`, `-N NAME`, `-A FORWARD -i eth0 -j NAME`.

interface LegacyRules {
  readonly policy: string;
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

export interface LegacyForward {
  /** Whether what is forwarded is refused unless a rule accepts it. */
  readonly refuses: boolean;
  /** Where a rule of ours is to stand. */
  readonly place: string;
  /** Chains where one stands. */
  readonly ours: readonly string[];
}

/** @param comment by which our rules are known */
export function readLegacyForward(printed: string, comment: string): LegacyForward {
  const { policy, chains } = read(printed);
  const isOurs = (rule: string) => rule.includes(` --comment ${comment} `);
  return {
    refuses: policy === "DROP" || refusesAll("FORWARD", chains, new Set()),
    place: chainsForUsers.find((name) => chains.has(name)) ?? "FORWARD",
    ours: [...chains].filter(([, rules]) => rules.some(isOurs)).map(([name]) => name),
  };
}

function read(printed: string): LegacyRules {
  const chains = new Map<string, string[]>([["FORWARD", []]]);
  let policy = "ACCEPT";
  for (const line of printed.split("\n")) {
    const [option = "", chain = "", ...rest] = line.split(" ");
    if (option === "-P" && chain === "FORWARD") policy = rest[0] ?? "";
    else if (option === "-N") chains.set(chain, []);
    else if (option === "-A") chains.get(chain)?.push(rest.join(" "));
  }
  return { policy, chains };
}

/** Whether a chain has a rule that refuses whatever comes to it, or one that always leads to such a chain. */
function refusesAll(chain: string, chains: LegacyRules["chains"], seen: Set<string>): boolean {
  if (seen.has(chain)) return false;
  seen.add(chain);
  return (chains.get(chain) ?? []).some((rule) => {
    const target = targetOfAll(rule);
    return target === "DROP" || target === "REJECT" || (target !== undefined && refusesAll(target, chains, seen));
  });
}

/** Where a rule without conditions leads; a comment is none. */
function targetOfAll(rule: string): string | undefined {
  return /^(?:-m comment --comment (?:"[^"]*"|[^" ]+) )?-[jg] ([^ ]+)(?: --reject-with [^ ]+)?$/.exec(rule)?.[1];
}
