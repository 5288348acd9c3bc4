import { formatInfo, formatLinkAttrs, type LinkAttrs } from "netlink/dist/rt/ifla.js";
import { formatLink, type Link as LinkHeader } from "netlink/dist/rt/gen_structs.js";
import { attribute, bytesOf } from "./encode.js";
import { bytesOfMac } from "./mac-bytes.js";
import { readLink, RTEXT_FILTER_SKIP_STATS, RTM_GETLINK, type Link } from "./link-list.js";
import { MAKE, type Rtnetlink, type RtRequest } from "./rtnetlink.js";

export { linksOf, type BridgeSettings, type Link, type VxlanSettings } from "./link-list.js";

export const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;

/** By index or by name. */
export type LinkRef = number | string;

/** What can be said of a link when it is made or changed. */
export interface LinkSettings {
  readonly name?: string;
  readonly mtu?: number;
  readonly mac?: string;
  /** Index of a bridge; 0 takes it out of its bridge. */
  readonly master?: number;
  readonly isUp?: boolean;
  readonly group?: number;
  /** A descriptor of the namespace it goes to. */
  readonly namespace?: number;
}

export function newBridge(settings: LinkSettings & { readonly name: string }): RtRequest {
  return newOfKind("bridge", settings);
}

/** A WireGuard link of the kernel's; ENOTSUP where it has none. */
export function newWireguard(settings: LinkSettings & { readonly name: string }): RtRequest {
  return newOfKind("wireguard", settings);
}

/** A link of a kind that needs nothing but a name. */
function newOfKind(kind: string, settings: LinkSettings & { readonly name: string }): RtRequest {
  const { header, attributes } = encoded(settings);
  const linkinfo = bytesOf(formatInfo({ kind }));
  return request(RTM_NEWLINK, MAKE.only, header, { ...attributes, linkinfo }, [`add ${kind}`, settings.name]);
}

const VETH_INFO_PEER = 1;

/** Both ends of a veth pair; the peer may be born in another namespace. */
export function newVeth(host: LinkSettings & { readonly name: string }, peer: LinkSettings): RtRequest {
  const { header, attributes } = encoded(host);
  const other = encoded(peer);
  const ends = bytesOf(formatLink(other.header), formatLinkAttrs(other.attributes));
  const linkinfo = bytesOf(formatInfo({ kind: "veth", data: bytesOf(attribute(VETH_INFO_PEER, ends)) }));
  return request(RTM_NEWLINK, MAKE.only, header, { ...attributes, linkinfo }, ["add veth", host.name]);
}

/** @param link its index, if it is to get another name */
export function changeLink(link: LinkRef, settings: LinkSettings & { readonly alias?: string }): RtRequest {
  const { header, attributes } = encoded(settings);
  return request(RTM_NEWLINK, 0, { ...header, ...indexOf(link) }, { ...nameOf(link), ...attributes }, [
    "change link",
    link,
  ]);
}

export function deleteLink(link: LinkRef): RtRequest {
  return request(RTM_DELLINK, 0, indexOf(link), nameOf(link), ["delete link", link]);
}

/** All links of a group, which is hardly slower than one. */
export function deleteGroup(group: number): RtRequest {
  return request(RTM_DELLINK, 0, {}, { group }, ["delete links of group", group]);
}

/** @returns undefined when there is none of that name. Throws {@link NetlinkError}. */
export function linkNamed(rtnetlink: Rtnetlink, name: string): Link | undefined {
  return rtnetlink.get(request(RTM_GETLINK, 0, {}, { ifname: name, ...skipStats }, ["get link", name]), readLink);
}

/** Bridges of the namespace: the kernel leaves all other links out. Throws {@link NetlinkError}. */
export function bridgesOf(rtnetlink: Rtnetlink): Link[] {
  const bridges = { ...skipStats, linkinfo: bytesOf(formatInfo({ kind: "bridge" })) };
  const found = rtnetlink.list(request(RTM_GETLINK, 0, {}, bridges, ["list", "bridges"]), readLink);
  return found.filter(({ kind }) => kind === "bridge");
}

const skipStats: LinkAttrs = { extMask: Buffer.of(RTEXT_FILTER_SKIP_STATS, 0, 0, 0) };

/** @param subject in words, for errors */
export function request(
  type: number,
  flags: number,
  header: LinkHeader,
  attributes: LinkAttrs,
  subject: readonly (string | number)[],
): RtRequest {
  return { type, flags, body: bytesOf(formatLink(header), formatLinkAttrs(attributes)), subject: subject.join(" ") };
}

export function encoded({
  name,
  alias,
  mtu,
  mac,
  master,
  isUp,
  group,
  namespace,
}: LinkSettings & { readonly alias?: string }): {
  header: LinkHeader;
  attributes: LinkAttrs;
} {
  return {
    header: isUp === undefined ? {} : { flags: isUp ? { up: true } : {}, change: { up: true } },
    attributes: {
      ...(name !== undefined && { ifname: name }),
      ...(alias !== undefined && { ifalias: alias }),
      ...(mtu !== undefined && { mtu }),
      ...(mac !== undefined && { address: bytesOfMac(mac) }),
      ...(master !== undefined && { master }),
      ...(group !== undefined && { group }),
      ...(namespace !== undefined && { netNsFd: namespace }),
    },
  };
}

const indexOf = (link: LinkRef): LinkHeader => (typeof link === "number" ? { index: link } : {});
const nameOf = (link: LinkRef): LinkAttrs => (typeof link === "string" ? { ifname: link } : {});
