import { insideNamespace, namespaceInode } from "../../linux/netns.js";
import { isNamespace } from "../../linux/named-namespace.js";
import { addressesOf, routesOf, type LinkAddress } from "../../linux/netlink/rtnetlink/addresses.js";
import { linkNamed, linksOf, type Link } from "../../linux/netlink/rtnetlink/links.js";
import { Rtnetlink } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { rulesOf } from "../../linux/netlink/rtnetlink/rules.js";
import type { SeenHost, SeenInside, SeenSandbox } from "../seen.js";
import type { WantedSandbox } from "../wanted.js";

/** Everything of the host. */
export function lookAtHost(rtnetlink: Rtnetlink): SeenHost {
  return {
    links: new Map(linksOf(rtnetlink).map((link) => [link.name, link])),
    addresses: byLink(addressesOf(rtnetlink)),
  };
}

/** Only these links, and addresses only when asked for: a list of all takes long where there are many. */
export function lookAtLinks(rtnetlink: Rtnetlink, names: Iterable<string>, withAddresses: boolean): SeenHost {
  const links = new Map<string, Link>();
  for (const name of names) {
    const link = linkNamed(rtnetlink, name);
    if (link) links.set(name, link);
  }
  return { links, addresses: withAddresses ? byLink(addressesOf(rtnetlink)) : new Map() };
}

/** What is in a sandbox's namespace. Keeps nothing open there. */
export function lookInside({ path, inode }: Pick<WantedSandbox, "path" | "inode">): SeenSandbox {
  if (!isNamespace(path)) return { kind: "gone" };
  const found = namespaceInode(path);
  if (inode !== undefined && found !== inode) return { kind: "other", inode: found };
  return { kind: "there", inode: found, ...inNamespaceOf({ path, inode: found }, lookAround) };
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
