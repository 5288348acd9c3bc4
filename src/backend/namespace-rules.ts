import { RESOLVER_ADDRESS } from "../../dns/protocol.js";
import { insideNamespace } from "../linux/netns.js";
import { Budget, type Limits } from "../linux/netlink/budget.js";
import { Nfnetlink, withNfnetlink } from "../linux/netlink/nfnetlink.js";
import { Ruleset } from "../linux/netlink/nftables/ruleset.js";
import type { Transaction } from "../linux/netlink/nftables/transaction.js";
import { PontoonError } from "../errors.js";
import { findDnsRedirect } from "./dns-redirect.js";
import { loadedTable, removeTable, type LoadedTable } from "./takeover-table.js";

/** What a namespace's IPv4 rules say about DNS. */
export interface NamespaceRules {
  readonly takeover: LoadedTable | undefined;
  /** A rule of somebody else's that redirects DNS, much as nft prints it. */
  readonly foreign: string | undefined;
}

/** What is read of a namespace's rules. Its containers can make as many as they like; a service mesh has some hundred. */
const limits: Limits = { bytes: 2 << 20, objects: 8192, time: 25 };

/** Until a change of rules is not waited for any more, ms. Deleting waits for all processors, 10 ms and more on a busy machine. */
const busyTime = 3000;

/** Chains Docker itself puts into a container's namespace. */
const dockersChains = new Set(["DOCKER_OUTPUT", "DOCKER_POSTROUTING", "dns-dnat", "dns-snat"]);
/** The chain of published ports on the host. */
const publishedChain = "DOCKER";

/**
 * Looks at the rules of a network namespace, and changes nothing. Throws RULES_TOO_MANY, RULES_CHANGING.
 * @param path e.g. `/proc/4711/ns/net`
 * @param inode which namespace is meant; throws when the path stands for another one by now
 */
export function rulesOf(path: string, inode: number): NamespaceRules {
  return insideNamespace(path, inode, () => withNfnetlink((nfnetlink) => {
    const rules = new Ruleset(nfnetlink);
    return { takeover: loadedTable(rules, budget()), foreign: foreignDnsRule(rules) };
  }));
}

/** Only our table: see {@link rulesOf}. */
export function takeoverOf(path: string, inode: number): LoadedTable | undefined {
  return insideNamespace(path, inode, () => withNfnetlink((nfnetlink) => loadedTable(new Ruleset(nfnetlink), budget())));
}

/** A rule of this namespace that redirects what is asked of its resolver: ours would go ahead of it. Throws RULES_TOO_MANY, RULES_CHANGING. */
export function foreignDnsRule(rules: Ruleset): string | undefined {
  return findDnsRedirect(rules, RESOLVER_ADDRESS, ({ chain, table }) => dockersChains.has(chain) || table === "pontoon", budget());
}

/** A rule of the host's own namespace that redirects questions to whomever. Throws as {@link foreignDnsRule}. */
export function hostDnsRule(): string | undefined {
  return withNfnetlink((nfnetlink) => findDnsRedirect(new Ruleset(nfnetlink), undefined, ({ chain }) => dockersChains.has(chain) || chain === publishedChain, budget()));
}

/** Removes our table from a namespace in which nobody serves it any more. Rejects with RULES_BUSY. */
export function removeLeftover(path: string, inode: number): Promise<void> {
  return changeRules(path, inode, removeTable());
}

/** Changes rules of a namespace: see {@link applyAside}. Throws at once when it is gone. */
export function changeRules(path: string, inode: number, transaction: Transaction): Promise<void> {
  return applyAside(insideNamespace(path, inode, () => new Nfnetlink()), transaction);
}

/**
 * Applies a transaction beside the event loop, and closes the connection when it is done. The kernel lets one change the
 * rules of a namespace at a time, and those inside can make a change that takes it minutes. So after a while nobody waits
 * any more: rejects with RULES_BUSY, although it may still be applied later. Rejects with NetlinkError.
 */
export async function applyAside(nfnetlink: Nfnetlink, transaction: Transaction): Promise<void> {
  const applied = transaction.commitAside(nfnetlink).finally(() => nfnetlink.close());
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new PontoonError("RULES_BUSY", "the network namespace", "somebody in the network namespace keeps its firewall rules locked")), busyTime);
  });
  try {
    await Promise.race([applied, late]);
  } finally {
    clearTimeout(timer);
    applied.catch(() => undefined); // told by now, or too late to matter: the table is not armed, and the next to come replaces it
  }
}

export function budget(): Budget {
  return new Budget("the network namespace", limits);
}
