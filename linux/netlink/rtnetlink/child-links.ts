import {
  formatInfo,
  formatIpvlan,
  formatMacvlan,
  formatMacvlanMode,
  formatVlan,
  IpvlanMode,
} from "netlink/dist/rt/ifla.js";
import { bytesOf } from "./encode.js";
import { encoded, request, RTM_NEWLINK, type LinkSettings } from "./links.js";
import { MAKE, type RtRequest } from "./rtnetlink.js";

// Links that have another link of the host below them, their parent: what they send leaves by it.

export const macvlanModes = ["bridge", "private", "vepa", "passthru"] as const;
export const ipvlanModes = ["l2", "l3", "l3s"] as const;
export type MacvlanMode = (typeof macvlanModes)[number];
export type IpvlanModeName = (typeof ipvlanModes)[number];

/** What a link on a parent is, and how it passes frames on. */
export type ChildKind =
  /** Has a MAC address of its own. */
  | { readonly kind: "macvlan"; readonly mode: MacvlanMode }
  /** Has its parent's. */
  | { readonly kind: "ipvlan"; readonly mode: IpvlanModeName }
  /** What its parent has of one VLAN, 1 to 4094, with a tag (IEEE 802.1Q). */
  | { readonly kind: "vlan"; readonly id: number };

/** @param parent its index in the namespace of the socket, whichever namespace the child is born in */
export function newChild(
  child: ChildKind,
  parent: number,
  settings: LinkSettings & { readonly name: string },
): RtRequest {
  const { header, attributes } = encoded(settings);
  const link = Buffer.alloc(4);
  link.writeUInt32LE(parent);
  const linkinfo = bytesOf(formatInfo({ kind: child.kind, data: bytesOf(settingsOf(child)) }));
  const subject = [`add ${child.kind}`, settings.name];
  return request(RTM_NEWLINK, MAKE.only, header, { ...attributes, link, linkinfo }, subject);
}

function settingsOf(child: ChildKind) {
  switch (child.kind) {
    case "macvlan":
      return formatMacvlan({ mode: formatMacvlanMode({ [child.mode]: true }) });
    case "ipvlan":
      return formatIpvlan({ mode: { l2: IpvlanMode.L2, l3: IpvlanMode.L3, l3s: IpvlanMode.L3S }[child.mode] });
    case "vlan":
      return formatVlan({ id: child.id });
  }
}
