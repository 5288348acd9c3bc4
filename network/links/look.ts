import { insideNamespace, namespaceInode } from "../../linux/netns.js";
import { isNamespace } from "../../linux/named-namespace.js";
import { addressesOf, routesOf, type LinkAddress } from "../../linux/netlink/rtnetlink/addresses.js";
import { linkNamed, linksOf, type Link } from "../../linux/netlink/rtnetlink/links.js";
import { proxiesOf } from "../../linux/netlink/rtnetlink/neighbours.js";
import { queuesOf } from "../../linux/netlink/rtnetlink/queues.js";
import { Rtnetlink } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { rulesOf } from "../../linux/netlink/rtnetlink/rules.js";
import { answersForOthers } from "../../linux/network-settings.js";
import type { SeenHost, SeenInside, SeenSandbox } from "../seen.js";
import { endOf } from "../plan/endpoint-plan.js";
import type { RetiredEnd } from "../plan/steps.js";
import { namedChild } from "../plan/lan-plan.js";
import { aliasOf, type WantedHandover, type WantedSandbox } from "../wanted.js";

/** What is looked at beside links, as far as somebody needs it. */
export interface Sights {
  /** As {@link SeenHost.routes} has it. */
  readonly withRoutes?: boolean;
  /** Names of links whose queues count. */
  readonly limited?: readonly string[];
  /** Names of links that answer for others. */
  readonly proxying?: readonly string[];
}

/** Everything of the host. */
export function lookAtHost(
  rtnetlink: Rtnetlink,
  { withRoutes = false, limited = [], proxying = [] }: Sights,
): SeenHost {
  const links = new Map(linksOf(rtnetlink).map((link) => [link.name, link]));
  return {
    links,
    addresses: byLink(addressesOf(rtnetlink)),
    routes: withRoutes ? routesOf(rtnetlink) : [],
    queues: queuesOf(rtnetlink, indicesOf(limited, links)),
    proxies: proxiesOf(rtnetlink),
    answering: new Set(proxying.filter(answersForOthers)),
  };
}

/** Only these links and those that are limited; addresses and routes only when asked for: a list of all takes long where there are many. */
export function lookAtLinks(
  rtnetlink: Rtnetlink,
  names: Iterable<string>,
  withAddresses: boolean,
  { withRoutes = false, limited = [], proxying = [] }: Sights,
): SeenHost {
  const links = new Map<string, Link>();
  for (const name of new Set([...names, ...limited, ...proxying])) {
    const link = linkNamed(rtnetlink, name);
    if (link) links.set(name, link);
  }
  return {
    links,
    addresses: withAddresses ? byLink(addressesOf(rtnetlink)) : new Map(),
    routes: withRoutes ? routesOf(rtnetlink) : [],
    queues: queuesOf(rtnetlink, indicesOf(limited, links)),
    proxies: proxying.length > 0 ? proxiesOf(rtnetlink) : [],
    answering: new Set(proxying.filter(answersForOthers)),
  };
}

function indicesOf(names: readonly string[], links: ReadonlyMap<string, Link>): number[] {
  return names.flatMap((name) => links.get(name)?.index ?? []);
}

/** What is in a sandbox's namespace. Keeps nothing open there. */
export function lookInside({ path, inode }: Pick<WantedSandbox, "path" | "inode">): SeenSandbox {
  if (!isNamespace(path)) return { kind: "gone" };
  const found = namespaceInode(path);
  if (inode !== undefined && found !== inode) return { kind: "other", inode: found };
  return { kind: "there", inode: found, ...inNamespaceOf({ path, inode: found }, lookAround) };
}

/** The other end of a pair, or a link on a parent, that an engine has put into its namespace; undefined where it is not there. */
export function findEnd(host: Rtnetlink, handover: WantedHandover): RetiredEnd | undefined {
  const { hostLink, path } = handover;
  const link = linkNamed(host, hostLink);
  if (!isNamespace(path)) return undefined;
  const inode = namespaceInode(path);
  const inside = inNamespaceOf({ path, inode }, linksOf);
  const end = link ? endOf(link, inside) : namedChild(aliasOf.handed(handover), inside);
  return end && { path, inode, index: end.index, rules: [] };
}

/** Runs `work` in a sandbox's namespace, with rtnetlink there. */
export function inNamespaceOf<Result>(
  { path, inode }: Pick<WantedSandbox, "path" | "inode">,
  work: (rtnetlink: Rtnetlink) => Result,
): Result {
  return insideNamespace(path, inode, () => {
    const rtnetlink = new Rtnetlink();
    try {
      return work(rtnetlink);
    } finally {
      rtnetlink.close();
    }
  });
}

function lookAround(rtnetlink: Rtnetlink): SeenInside {
  return {
    links: linksOf(rtnetlink),
    addresses: byLink(addressesOf(rtnetlink)),
    routes: routesOf(rtnetlink),
    rules: rulesOf(rtnetlink),
  };
}

function byLink(addresses: readonly LinkAddress[]): Map<number, LinkAddress[]> {
  const found = new Map<number, LinkAddress[]>();
  for (const address of addresses) {
    if (address.isLinkLocal) continue;
    const known = found.get(address.index);
    if (known) known.push(address);
    else found.set(address.index, [address]);
  }
  return found;
}
