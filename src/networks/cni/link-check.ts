import { PontoonError } from "../../../common/errors.js";
import { addressesOf } from "../../../linux/netlink/rtnetlink/addresses.js";
import { linkNamed } from "../../../linux/netlink/rtnetlink/links.js";
import { Rtnetlink } from "../../../linux/netlink/rtnetlink/rtnetlink.js";
import { isNamespace } from "../../../linux/named-namespace.js";
import { insideNamespace } from "../../../linux/netns.js";

/** What a link of a container is, or is to be. */
export interface LinkFacts {
  readonly mac: string | undefined;
  /** With their prefix. */
  readonly addresses: readonly string[];
}

/** A link in a namespace as the kernel has it now; undefined when it is not there, or down. @param inode of the namespace that is meant */
export function lookAtLink(netns: string, inode: number, ifname: string): LinkFacts | undefined {
  if (!isNamespace(netns, inode)) return undefined;
  return insideNamespace(netns, inode, () => {
    const rtnetlink = new Rtnetlink();
    try {
      const link = linkNamed(rtnetlink, ifname);
      if (!link?.isUp) return undefined;
      const own = addressesOf(rtnetlink).filter(({ index }) => index === link.index);
      return { mac: link.mac, addresses: own.map(({ ip, prefix }) => `${ip}/${prefix}`) };
    } finally {
      rtnetlink.close();
    }
  });
}

/** Throws ATTACHMENT_BROKEN when something of what is expected is not so. */
export function requireLink(ifname: string, expected: LinkFacts, seen: LinkFacts | undefined): void {
  const broken = (why: string) =>
    new PontoonError("ATTACHMENT_BROKEN", ifname, `link ${ifname} of the container ${why}; start the container anew`);
  if (!seen) throw broken("is not there, or down");
  if (expected.mac !== undefined && seen.mac?.toLowerCase() !== expected.mac.toLowerCase())
    throw broken(`has the MAC address ${seen.mac ?? "of none"}, not ${expected.mac}`);
  const missing = expected.addresses.filter((address) => !seen.addresses.includes(address));
  if (missing.length > 0) throw broken(`does not have ${missing.join(" and ")}`);
}
