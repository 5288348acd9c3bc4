import { chainsForUsers } from "./chains-for-users.js";

// What `iptables-legacy -S` prints: `-P FORWARD DROP`, `-N NAME`, `-A FORWARD -i eth0 -j NAME`.

interface LegacyRules {
  readonly policy: string;
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

/** A chain of the kernel's: what is forwarded, and what comes in to the host. */
export type LegacyHook = "FORWARD" | "INPUT";

export interface LegacyHookRules {
  /** Whether what comes to it is refused unless a rule accepts it. */
  readonly refuses: boolean;
  /** Where a rule of ours is to stand. */
  readonly place: string;
  /** Chains where one stands. */
  readonly ours: readonly string[];
}

/** @param comment by which our rules are known */
export function readLegacyHook(printed: string, hook: LegacyHook, comment: string): LegacyHookRules {
  const { policy, chains } = read(printed, hook);
  const isOurs = (rule: string) => rule.includes(` --comment ${comment} `);
  return {
    refuses: policy === "DROP" || refusesAll(hook, chains, new Set()),
    place: (hook === "FORWARD" ? chainsForUsers.find((name) => chains.has(name)) : undefined) ?? hook,
    ours: [...chains].filter(([, rules]) => rules.some(isOurs)).map(([name]) => name),
  };
}

function read(printed: string, hook: LegacyHook): LegacyRules {
  const chains = new Map<string, string[]>([
    ["FORWARD", []],
    ["INPUT", []],
  ]);
  let policy = "ACCEPT";
  for (const line of printed.split("\n")) {
    const [option = "", chain = "", ...rest] = line.split(" ");
    if (option === "-P" && chain === hook) policy = rest[0] ?? "";
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
