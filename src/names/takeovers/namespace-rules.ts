import { RESOLVER_ADDRESS } from "../../../dns/protocol.js";
import { insideNamespace } from "../../../linux/netns.js";
import { Budget, type Limits } from "../../../linux/netlink/budget.js";
import { Nfnetlink, withNfnetlink } from "../../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../../linux/netlink/nftables/ruleset.js";
import type { ChainName, Transaction } from "../../../linux/netlink/nftables/transaction.js";
import { withDeadline } from "../../../common/deadline.js";
import { PontoonError } from "../../../common/errors.js";
import { Turns } from "./turns.js";
import { findDnsRedirect } from "./dns-redirect.js";
import { loadedTable, removeTable, type LoadedTable } from "./takeover-table.js";

/** What a namespace's IPv4 rules say about DNS. */
export interface NamespaceRules {
  readonly takeover: LoadedTable | undefined;
  /** A rule of somebody else's that redirects DNS, much as nft prints it. */
  readonly foreign: string | undefined;
}

/** What is read of a namespace's rules. Its containers can make as many as they like; a service mesh has some hundred. */
export const limits: Limits = { bytes: 1 << 20, objects: 4096, time: 15 };

/** Until a change of rules is not waited for any more, ms. Deleting waits for all processors, 10 ms and more on a busy machine. */
const busyTime = 3000;

/** Of libuv's pool, which has four: files are read with them too. */
const threads = new Turns(3);

/** Chains Docker itself puts into a container's namespace. */
const dockersChains = new Set(["DOCKER_OUTPUT", "DOCKER_POSTROUTING", "dns-dnat", "dns-snat"]);
/** Whether Docker itself has put a chain into a container's namespace. */
export function isDockersOwn({ chain }: ChainName): boolean {
  return dockersChains.has(chain);
}

/** The chain of published ports on the host. */
const publishedChain = "DOCKER";

/**
 * Looks at the rules of a network namespace, and changes nothing. Rejects with RULES_TOO_MANY, RULES_CHANGING, RULES_BUSY.
 * @param path e.g. `/proc/4711/ns/net`
 * @param inode which namespace is meant; rejects when the path stands for another one by now
 */
export function rulesOf(path: string, inode: number): Promise<NamespaceRules> {
  return readRules(path, inode, (rules) => ({
    takeover: loadedTable(rules, budget()),
    foreign: foreignDnsRule(rules),
  }));
}

/** Only our table: see {@link rulesOf}. */
export function takeoverOf(path: string, inode: number): Promise<LoadedTable | undefined> {
  return readRules(path, inode, (rules) => loadedTable(rules, budget()));
}

/** Reads rules of a namespace, at once; only letting go of it may take a while, for which nobody waits longer than a little. */
export async function readRules<Value>(path: string, inode: number, read: (rules: Ruleset) => Value): Promise<Value> {
  const nfnetlink = insideNamespace(path, inode, () => new Nfnetlink());
  try {
    return read(new Ruleset(nfnetlink));
  } finally {
    await patiently(() => nfnetlink.closeAside());
  }
}

/** A rule of this namespace that redirects what is asked of its resolver: ours would go ahead of it. Throws RULES_TOO_MANY, RULES_CHANGING. */
export function foreignDnsRule(rules: Ruleset): string | undefined {
  return findDnsRedirect(
    rules,
    RESOLVER_ADDRESS,
    (chain) => isDockersOwn(chain) || chain.table === "pontoon",
    budget(),
  );
}

/** A rule of the host's own namespace that redirects questions to whomever. Throws as {@link foreignDnsRule}. */
export function hostDnsRule(): string | undefined {
  return withNfnetlink((nfnetlink) =>
    findDnsRedirect(
      new Ruleset(nfnetlink),
      undefined,
      (chain) => isDockersOwn(chain) || chain.chain === publishedChain,
      budget(),
    ),
  );
}

/** Removes our table from a namespace in which nobody serves it any more. Rejects with RULES_BUSY. */
export function removeLeftover(path: string, inode: number): Promise<void> {
  return changeRules(path, inode, removeTable());
}

/** Changes rules of a namespace: see {@link applyAside}. Throws at once when it is gone. */
export function changeRules(path: string, inode: number, transaction: Transaction): Promise<void> {
  return applyAside(
    insideNamespace(path, inode, () => new Nfnetlink()),
    transaction,
  );
}

/**
 * Applies a transaction beside the event loop, and closes the connection when it is done. Rejects with RULES_BUSY, although
 * it may still be applied later, and with NetlinkError.
 */
export function applyAside(nfnetlink: Nfnetlink, transaction: Transaction): Promise<void> {
  return patiently(() => transaction.commitAside(nfnetlink).finally(() => nfnetlink.closeAside()));
}

/**
 * The kernel lets one change the rules of a namespace at a time, and those inside can make a change that takes it minutes.
 * So after a while nobody waits any more: rejects with RULES_BUSY. What comes of it later is of no concern: a table that is
 * loaded then is not armed, and the next to come replaces it.
 */
export function patiently(work: () => Promise<void>): Promise<void> {
  return within(threads, work);
}

/** Does `work` when it is its turn, and waits for it no longer than that. Rejects with RULES_BUSY. */
export async function within<Value>(turns: Turns, work: () => Promise<Value>): Promise<Value> {
  const busy = () =>
    new PontoonError(
      "RULES_BUSY",
      "the network namespace",
      "somebody in the network namespace keeps its firewall rules locked",
    );
  return withDeadline(busyTime, turns.run(work), busy);
}

export function budget(): Budget {
  return new Budget("the network namespace", limits);
}
