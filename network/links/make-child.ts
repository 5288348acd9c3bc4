import { closeSync, fstatSync, openSync } from "node:fs";
import { errorCode, PontoonError } from "../../common/errors.js";
import { newChild, type ChildKind } from "../../linux/netlink/rtnetlink/child-links.js";
import { changeLink, linkNamed, newVeth, type LinkSettings } from "../../linux/netlink/rtnetlink/links.js";
import type { Rtnetlink } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { setIPv6 } from "../../linux/network-settings.js";
import type { PairEnd, Step } from "../plan/steps.js";
import { aliasOf } from "../wanted.js";
import { inNamespaceOf } from "./look.js";

type Making = Step & { readonly kind: "make-vlan" | "make-access" | "make-child" | "make-handover-child" };

/**
 * Makes a link on a parent, which tells whose it is as soon as it is there.
 * @param host rtnetlink of the host's namespace. Throws what {@link explained} says.
 */
export function makeChild(host: Rtnetlink, step: Making): void {
  switch (step.kind) {
    case "make-vlan": {
      const [{ parent: name, of, id }, alias] = [step, aliasOf.vlan(step.parent)];
      make(host, { kind: "vlan", id }, of, { name });
      return host.request(changeLink(name, { alias, isUp: true }));
    }
    case "make-access": {
      const { bridge: name, mac, mtu } = step.network;
      make(host, step.lan.child, step.lan.parent, { name, ...withMac(mac), mtu });
      return host.request(changeLink(name, { alias: aliasOf.network(step.network) }));
    }
    case "make-handover-child": {
      const { peer: name, mac, mtu } = step.handover;
      make(host, step.lan.child, step.lan.parent, { name, ...withMac(mac), mtu });
      setIPv6(name, false); // while it is on the host; the container has settings of its own
      return host.request(changeLink(name, { alias: aliasOf.handed(step.handover) }));
    }
    case "make-child": {
      const { endpoint, sandbox, lan } = step;
      const { ifname: name, mac, mtu } = endpoint;
      const namespace = openSync(sandbox.path, "r");
      try {
        requireInode(namespace, sandbox.path, sandbox.inode);
        make(host, lan.child, lan.parent, { name, ...withMac(mac), mtu, namespace });
      } finally {
        closeSync(namespace);
      }
      const alias = aliasOf.inside(endpoint);
      return inNamespaceOf(sandbox, (rtnetlink) => rtnetlink.request(changeLink(name, { alias })));
    }
  }
}

/** Makes one link between two sandboxes, whose ends tell whose they are as soon as they are there. */
export function makePair(host: Rtnetlink, ends: readonly [PairEnd, PairEnd]): void {
  const opened: number[] = [];
  try {
    const [one, other] = ends.map(({ endpoint: { ifname: name, mac, mtu }, sandbox: { path, inode } }) => {
      const namespace = openSync(path, "r");
      opened.push(namespace);
      requireInode(namespace, path, inode);
      return { name, ...withMac(mac), mtu, namespace };
    });
    host.request(newVeth(one!, other!));
  } finally {
    for (const namespace of opened) closeSync(namespace);
  }
  for (const { endpoint, sandbox } of ends)
    inNamespaceOf(sandbox, (rtnetlink) =>
      rtnetlink.request(changeLink(endpoint.ifname, { alias: aliasOf.inside(endpoint) })),
    );
}

function make(host: Rtnetlink, child: ChildKind, parent: string, settings: LinkSettings & { name: string }): void {
  const link = linkNamed(host, parent);
  if (!link)
    throw new PontoonError("NO_LINK", parent, `there is no link ${parent} on this host, which the network is to be on`);
  try {
    host.request(newChild(child, link.index, settings));
  } catch (error) {
    throw explained(error, child, parent);
  }
}

/** KIND_UNSUPPORTED, PARENT_UNFIT, or what the kernel says otherwise. */
function explained(error: unknown, { kind }: ChildKind, parent: string): unknown {
  switch (errorCode(error)) {
    case "ENOTSUP":
      return new PontoonError(
        "KIND_UNSUPPORTED",
        kind,
        `this kernel has no ${kind} links; load its module ${kind === "vlan" ? "8021q" : kind}, or use a kernel that has it`,
        { cause: error },
      );
    case "EBUSY":
    case "EINVAL":
      return new PontoonError(
        "PARENT_UNFIT",
        parent,
        `the kernel makes no ${kind} link on ${parent}: it is the port of a bridge, or has links of another kind or mode on it already`,
        { cause: error },
      );
    default:
      return error;
  }
}

export function withMac(mac: string | undefined): { mac?: string } {
  return mac === undefined ? {} : { mac };
}

export function requireInode(namespace: number, path: string, inode: number | undefined): void {
  const found = fstatSync(namespace).ino;
  if (inode !== undefined && found !== inode)
    throw new PontoonError("SANDBOX_ELSEWHERE", path, `${path} is another network namespace by now`);
}
