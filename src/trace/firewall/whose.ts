import { foreignRuleComment } from "../../../network/firewall/chains-for-users.js";
import { inetTable } from "../../../network/firewall/tables.js";
import type { Expression } from "../../../linux/netlink/nftables/expressions.js";
import type { ChainName } from "../../../linux/netlink/nftables/transaction.js";
import type { RulePlace } from "../rules/hook.js";

/** Who makes chains of these names, in order: the first that fits counts. */
const makers: readonly (readonly [RegExp, string])[] = [
  [/^DOCKER-USER$/, "whoever administers this host"],
  [/^DOCKER(-|_|$)/, "Docker"],
  [/^(dns-dnat|dns-snat)$/, "Docker"],
  [/^ufw6?-/, "ufw"],
  [/^(FWD|IN|OUT|FWDI|FWDO|FWD[IO]?|PRE|POST)_/, "firewalld"],
  [/^f2b-/, "fail2ban"],
  [/^KUBE-/, "Kubernetes"],
  [/^CNI-/, "CNI"],
  [/^NETAVARK/, "netavark"],
  [/^LIBVIRT_/, "libvirt"],
  [/^ts-/, "Tailscale"],
  [/^(cali|felix)/, "Calico"],
];

/** Whose a chain or a rule in it is; undefined for whoever administers the namespace. */
export function whoseRule(
  { chain, rule }: RulePlace,
  dockerBridges: readonly string[],
  all: readonly ChainName[],
): string | undefined {
  if (chain.table === inetTable.table || chain.table.startsWith(`${inetTable.table}-`)) return "pontoon";
  if (rule?.comment === foreignRuleComment) return "pontoon";
  if (chain.table === "firewalld") return "firewalld";
  const byName = makers.find(([pattern]) => pattern.test(chain.chain))?.[1];
  if (byName !== undefined) return byName;
  if (rule && namesBridge(rule.expressions, dockerBridges)) return "Docker";
  return rule === undefined ? whosePolicy(chain, all) : undefined;
}

/** Docker and ufw both have FORWARD drop; who has chains in its table is one of them. */
function whosePolicy({ family, table, chain }: ChainName, all: readonly ChainName[]): string | undefined {
  const has = (pattern: RegExp) =>
    all.some((other) => other.family === family && other.table === table && pattern.test(other.chain));
  if (!/^(INPUT|FORWARD|OUTPUT)$/.test(chain)) return undefined;
  const owners = [
    ...(has(/^ufw6?-/) ? ["ufw"] : []),
    ...(chain === "FORWARD" && has(/^DOCKER(-USER)?$/) ? ["Docker"] : []),
  ];
  return owners.length > 0 ? owners.join(" or ") : undefined;
}

/** Docker's rules in FORWARD name its bridges. */
function namesBridge(expressions: readonly Expression[], bridges: readonly string[]): boolean {
  return expressions.some((expression) => {
    if (expression.kind !== "cmp" || !expression.data || !("bytes" in expression.data)) return false;
    const end = expression.data.bytes.indexOf(0);
    return bridges.includes(expression.data.bytes.latin1Slice(0, end < 0 ? expression.data.bytes.length : end));
  });
}
