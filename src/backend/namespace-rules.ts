import { RESOLVER_ADDRESS } from "../../dns/protocol.js";
import { insideNamespace } from "../linux/netns.js";
import { runNft } from "../linux/nftables.js";
import { foreignDnsRule, removeTable } from "./takeover-table.js";

/** What a namespace's IPv4 rules say about DNS. */
export interface NamespaceRules {
  /** Our table: the port it leads to, and whether it is in effect. */
  readonly takeover: { readonly port: number; readonly armed: boolean } | undefined;
  /** A rule of somebody else's that redirects DNS, as nft prints it. */
  readonly foreign: string | undefined;
}

/**
 * Looks at the rules of a network namespace, and changes nothing.
 * @param path e.g. `/proc/4711/ns/net`
 * @param inode which namespace is meant; throws when the path stands for another one by now
 */
export function rulesOf(path: string, inode: number): NamespaceRules {
  const ruleset = insideNamespace(path, inode, () => runNft("list ruleset ip"));
  return { takeover: takeoverIn(ruleset), foreign: foreignDnsRule(ruleset) };
}

/** Removes our table from a namespace in which nobody serves it any more. */
export function removeLeftover(path: string, inode: number): void {
  insideNamespace(path, inode, () => runNft(removeTable));
}

/** Our table in what `nft list ruleset` prints; a table of that name without our rules is not ours. */
export function takeoverIn(ruleset: string): NamespaceRules["takeover"] {
  const table = /^table ip pontoon \{\n([\s\S]*?)^\}/m.exec(ruleset)?.[1];
  const port = new RegExp(`ip daddr ${RESOLVER_ADDRESS.replaceAll(".", "\\.")} udp dport @armed udp dport set (\\d+) `).exec(table ?? "")?.[1];
  if (table === undefined || port === undefined) return undefined;
  return { port: Number(port), armed: /elements = \{ 53\b/.test(table) };
}
