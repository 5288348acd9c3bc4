import { closeSync, openSync } from "node:fs";
import { routesOf } from "../../linux/netlink/rtnetlink/addresses.js";
import { changeLink, deleteLink, linkNamed, linksOf } from "../../linux/netlink/rtnetlink/links.js";
import type { Rtnetlink } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { deleteRule } from "../../linux/netlink/rtnetlink/rules.js";
import { PontoonError } from "../../common/errors.js";
import { whyKept } from "../plan/remote-plan.js";
import type { RetiredEnd } from "../plan/steps.js";
import { aliasOf, onTheWayPrefix, type WantedEndpoint, type WantedSandbox } from "../wanted.js";
import { inNamespaceOf } from "./look.js";
import { requireInode, withMac } from "./make-child.js";

/**
 * Puts a link that a driver has made on the host into a sandbox, with its name there. It is looked at just now whether that link
 * may go: what was called so when the driver answered may be another by now.
 * @param host rtnetlink of the host's namespace
 * Throws LINK_LOST, LINK_KEPT, LINK_NAME_TAKEN, SANDBOX_ELSEWHERE.
 */
export function takeLink(host: Rtnetlink, endpoint: WantedEndpoint, sandbox: WantedSandbox): void {
  const { hostLink: source, ifname, mac } = endpoint;
  const link = linkNamed(host, source);
  if (!link)
    throw new PontoonError(
      "LINK_LOST",
      source,
      `there is no link ${source} on this host, which the network's driver is to have made`,
    );
  const reason = whyKept(link, linksOf(host), routesOf(host));
  if (reason !== undefined)
    throw new PontoonError(
      "LINK_KEPT",
      source,
      `the network's driver gives away the host's link ${source}, and it stays where it is: ${reason}`,
    );
  const isTaken = inNamespaceOf(sandbox, (rtnetlink) => linkNamed(rtnetlink, ifname) !== undefined);
  if (isTaken)
    throw new PontoonError(
      "LINK_NAME_TAKEN",
      ifname,
      `sandbox ${sandbox.name} has a link ${ifname} already, which somebody else has made; name another with --ifname`,
    );
  const namespace = openSync(sandbox.path, "r");
  try {
    requireInode(namespace, sandbox.path, sandbox.inode);
    // One message: wherever a crash comes, the link is on the host as it was, or inside and tells whose it is.
    host.request(
      changeLink(link.index, { isUp: false }),
      changeLink(link.index, { namespace, name: ifname, alias: aliasOf.inside(endpoint) }),
    );
  } finally {
    closeSync(namespace);
  }
  if (mac !== undefined) inNamespaceOf(sandbox, (rtnetlink) => rtnetlink.request(changeLink(ifname, withMac(mac))));
}

/** Puts a sandbox's link back on the host, by the name it had there: its driver finds it by that. One whose name is taken is deleted. */
export function giveBack(host: Rtnetlink, name: string, { path, inode, index, rules }: RetiredEnd): void {
  const between = `${onTheWayPrefix}${index}`; // a name that neither namespace has
  const namespace = openSync("/proc/thread-self/ns/net", "r"); // of the host, which this thread is in
  try {
    inNamespaceOf({ path, inode }, (rtnetlink) => {
      rtnetlink.requestEach(rules.map(deleteRule));
      rtnetlink.request(changeLink(index, { isUp: false }), changeLink(index, { name: between }));
      rtnetlink.request(changeLink(index, { namespace }));
    });
  } finally {
    closeSync(namespace);
  }
  const [failure] = host.requestEach([changeLink(between, { name, alias: "" })]);
  if (failure) host.requestEach([deleteLink(between)]);
}
