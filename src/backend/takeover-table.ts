import { BRIDGE_MARK, LETTING_GO_TTL, RESOLVER_ADDRESS, RESOLVER_PORT } from "../../dns/protocol.js";

/** Seconds after its last renewal that the takeover lapses and Docker's own resolver answers again. */
const RENEWED_FOR = 6;

/**
 * The table that turns 127.0.0.11:53 into our own port, ahead of Docker's NAT and without touching it.
 * It acts only while the set holds port 53, which every packet the server sends from its UDP port renews: a server
 * that is gone or hangs lets go by itself. Stateless, so that a query makes no conntrack entry.
 * @param replaces whether the table of a crashed daemon may be there, which then goes in the same transaction. Only
 * where need be: when something is deleted, the kernel waits for all processors, 10 ms and more on a busy machine
 */
export function takeoverTable(port: number, replaces = true): string {
  const out = [
    `meta mark ${BRIDGE_MARK} accept`,
    `ip daddr ${RESOLVER_ADDRESS} udp dport @armed udp dport set ${port} notrack`,
    `ip daddr ${RESOLVER_ADDRESS} tcp dport @armed tcp dport set ${port} notrack`,
    `ip saddr ${RESOLVER_ADDRESS} udp sport ${port} ip ttl ${LETTING_GO_TTL} udp sport set ${RESOLVER_PORT} notrack accept`,
    `ip saddr ${RESOLVER_ADDRESS} udp sport ${port} udp sport set ${RESOLVER_PORT} update @armed { udp sport timeout ${RENEWED_FOR}s } notrack`,
    `ip saddr ${RESOLVER_ADDRESS} tcp sport ${port} tcp sport set ${RESOLVER_PORT} notrack`,
  ];
  return `${replaces ? `${removeTable}\n` : ""}table ip pontoon {
  set armed { type inet_service; size 4; flags timeout,dynamic; }
  chain out {
    type filter hook output priority -310; policy accept;
    ${out.join("\n    ")}
  }
}`;
}

/** Ends the takeover at once; what is on its way back still passes. Fails when the set is empty already. */
export const disarm = `delete element ip pontoon armed { ${RESOLVER_PORT} }`;

/** Removes the table, if it is there. */
export const removeTable = "add table ip pontoon\ndelete table ip pontoon";

/** Chains Docker itself puts into a container's namespace. */
const dockersChains = new Set(["DOCKER_OUTPUT", "DOCKER_POSTROUTING", "dns-dnat", "dns-snat"]);

/** Whether our table is among the rules that `nft list ruleset` prints. */
export function hasTakeoverTable(ruleset: string): boolean {
  return /^table ip pontoon \{/m.test(ruleset);
}

/**
 * Whether a namespace has rules of its own that redirect DNS (a service mesh, a VPN client): ours would go ahead of
 * them. Reads what `nft list ruleset` prints.
 * @param known further chains that are no concern: on the host, those of published ports
 * @returns the rule, for people to read
 */
export function foreignDnsRule(ruleset: string, known: readonly string[] = []): string | undefined {
  const chains = rulesByChain(ruleset);
  for (const [chain, rules] of chains) {
    if (dockersChains.has(chain) || known.includes(chain)) continue;
    const found = rules.find((rule) => isAboutDns(rule) && (redirects(rule) || chains.get(targetOf(rule))?.some(redirects)));
    if (found !== undefined) return found;
  }
  return undefined;
}

function rulesByChain(ruleset: string): Map<string, string[]> {
  const chains = new Map<string, string[]>();
  let rules: string[] = [];
  for (const line of ruleset.split("\n")) {
    const header = /^\s*chain (\S+) \{/.exec(line);
    if (!header) {
      rules.push(line.trim());
      continue;
    }
    // Chains of several tables may have one name; their rules are looked at together.
    rules = chains.get(header[1]!) ?? [];
    chains.set(header[1]!, rules);
  }
  return chains;
}

function isAboutDns(rule: string): boolean {
  return /\bdport (53\b|\{[^}]*\b53\b[^}]*\})/.test(rule);
}

function redirects(rule: string): boolean {
  return /\b(dnat|redirect|tproxy)\b|xt target "?(DNAT|REDIRECT|TPROXY)/.test(rule);
}

/** The chain a rule jumps to; `""` when it does not. */
function targetOf(rule: string): string {
  return /\b(?:jump|goto) (\S+)/.exec(rule)?.[1] ?? "";
}
