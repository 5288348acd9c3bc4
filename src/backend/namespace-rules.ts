import { RESOLVER_ADDRESS } from "../../dns/protocol.js";
import { hasLegacyTable, legacyTableInfo, readLegacyTable } from "../linux/legacy-iptables.js";
import { insideNamespace } from "../linux/netns.js";
import { Budget, type Limits } from "../linux/netlink/budget.js";
import { Nfnetlink, withNfnetlink } from "../linux/netlink/nfnetlink.js";
import { Ruleset } from "../linux/netlink/nftables/ruleset.js";
import type { Transaction } from "../linux/netlink/nftables/transaction.js";
import { closeDescriptor, udpSocket } from "../linux/socket.js";
import { errorCode, PontoonError } from "../errors.js";
import { Turns } from "../turns.js";
import { findDnsRedirect } from "./dns-redirect.js";
import { legacyNat } from "./legacy-nat.js";
import { loadedTable, removeTable, type LoadedTable } from "./takeover-table.js";

/** What a namespace's IPv4 rules say about DNS. */
export interface NamespaceRules {
  readonly takeover: LoadedTable | undefined;
  /** A rule of somebody else's that redirects DNS, much as nft prints it. */
  readonly foreign: string | undefined;
}

/** What is read of a namespace's rules. Its containers can make as many as they like; a service mesh has some hundred. */
const limits: Limits = { bytes: 1 << 20, objects: 4096, time: 15 };

/** Until a change of rules is not waited for any more, ms. Deleting waits for all processors, 10 ms and more on a busy machine. */
const busyTime = 3000;

/** Of libuv's pool, which has four: files are read with them too. */
const threads = new Turns(3);

/** Apart from those: the lock on legacy tables is the whole host's, and one who holds it must not keep nftables from anybody. */
const legacyThread = new Turns(1);
const legacyTable = "nat";
/** Somebody keeps it; until whoever waits has had it, nobody else does. */
let isLegacyLocked = false;

/** Chains Docker itself puts into a container's namespace. */
const dockersChains = new Set(["DOCKER_OUTPUT", "DOCKER_POSTROUTING", "dns-dnat", "dns-snat"]);
/** The chain of published ports on the host. */
const publishedChain = "DOCKER";

/**
 * Looks at the rules of a network namespace, and changes nothing. Rejects with RULES_TOO_MANY, RULES_CHANGING, RULES_BUSY.
 * @param path e.g. `/proc/4711/ns/net`
 * @param inode which namespace is meant; rejects when the path stands for another one by now
 */
export async function rulesOf(path: string, inode: number): Promise<NamespaceRules> {
  const found = await readRules(path, inode, (rules) => ({ takeover: loadedTable(rules, budget()), foreign: foreignDnsRule(rules) }));
  return { ...found, foreign: found.foreign ?? (await foreignLegacyRule(path, inode)) };
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
  return findDnsRedirect(rules, RESOLVER_ADDRESS, ({ chain, table }) => dockersChains.has(chain) || table === "pontoon", budget());
}

/**
 * The same among rules of iptables' legacy variant, which are no nftables rules and say nothing to anybody when they change.
 * Whoever reads them waits for everybody on the host who does, and one who keeps them waiting must keep nobody from being taken
 * over: then there is no such rule, as far as is known. Rejects with RULES_TOO_MANY, and as {@link insideNamespace}.
 */
export async function foreignLegacyRule(path: string, inode: number): Promise<string | undefined> {
  return withLegacyNat(path, inode, async (fd) => {
    const found = await readLegacyTable(fd, legacyTable, limits.bytes);
    if (!found) throw new PontoonError("RULES_TOO_MANY", "the network namespace", `the nat table of iptables-legacy is larger than ${limits.bytes} bytes`);
    return findDnsRedirect(legacyNat(found), RESOLVER_ADDRESS, ({ chain }) => dockersChains.has(chain), budget());
  });
}

/** What tells whether such rules have changed, roughly; undefined while there are none, or nobody can tell. Rejects as {@link insideNamespace}. */
export async function legacyFingerprint(path: string, inode: number): Promise<string | undefined> {
  const info = await withLegacyNat(path, inode, (fd) => legacyTableInfo(fd, legacyTable));
  return info && JSON.stringify(info);
}

/** @returns undefined when the namespace has no such table, or it cannot be read for now */
async function withLegacyNat<Value>(path: string, inode: number, work: (fd: number) => Promise<Value>): Promise<Value | undefined> {
  const names = `${path.slice(0, path.lastIndexOf("/ns/"))}/net/ip_tables_names`;
  if (isLegacyLocked) return undefined;
  const read = async () => {
    const fd = (await hasLegacyTable(names, legacyTable)) ? insideNamespace(path, inode, udpSocket) : undefined;
    try {
      return fd === undefined ? undefined : await work(fd);
    } finally {
      if (fd !== undefined) closeDescriptor(fd);
    }
  };
  try {
    return await within(legacyThread, () => read().finally(() => (isLegacyLocked = false)));
  } catch (error) {
    if (errorCode(error) !== "RULES_BUSY") throw error;
    isLegacyLocked = true;
    return undefined;
  }
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

async function within<Value>(turns: Turns, work: () => Promise<Value>): Promise<Value> {
  const done = turns.run(work);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new PontoonError("RULES_BUSY", "the network namespace", "somebody in the network namespace keeps its firewall rules locked")), busyTime);
  });
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
    done.catch(() => undefined);
  }
}

export function budget(): Budget {
  return new Budget("the network namespace", limits);
}
