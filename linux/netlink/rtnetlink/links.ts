import { formatInfo, formatLinkAttrs, type LinkAttrs } from "netlink/dist/rt/ifla.js";
import { formatLink, type Link as LinkHeader } from "netlink/dist/rt/gen_structs.js";
import { Attributes } from "../attributes.js";
import { attribute, bytesOf } from "./encode.js";
import { MAKE, type Rtnetlink, type RtRequest } from "./rtnetlink.js";

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
/** `struct ifinfomsg`. */
const HEADER = { size: 16, index: 4, flags: 8 } as const;
const IFF_UP = 1;
/** `IFLA_*`, of what is read. */
const IFLA = { address: 1, name: 3, mtu: 4, link: 5, master: 10, info: 18, alias: 20, group: 27 } as const;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
/** `IFLA_BR_*`. */
const BRIDGE = { stp: 5, id: 11 } as const;
/** Counters of each link are most of an answer, and nobody here reads them. */
const RTEXT_FILTER_SKIP_STATS = 8;

/** A link as the kernel tells it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`…; undefined for what was not made by software, and `lo`. */
  readonly kind: string | undefined;
  readonly isUp: boolean;
  readonly mtu: number;
  /** `02:42:0a:59:00:02`. */
  readonly mac: string;
  /** Index of the bridge it is a port of. */
  readonly master: number | undefined;
  /** Index of a veth's other end, in whichever namespace that is. */
  readonly peer: number | undefined;
  /** `ip link … alias`: free text, in which links of ours tell whose they are. The kernel takes it of links that are there. */
  readonly alias: string | undefined;
  readonly group: number;
  /** Of a bridge. */
  readonly bridge: BridgeSettings | undefined;
}

export interface BridgeSettings {
  /** Priority and MAC address, `8000.02420a590001`. */
  readonly id: string;
  /** Whether it speaks the spanning tree protocol. */
  readonly stp: boolean;
}

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
  const { header, attributes } = encoded(settings);
  return request(RTM_NEWLINK, MAKE.only, header, { ...attributes, linkinfo: bytesOf(formatInfo({ kind: "bridge" })) }, [
    "add bridge",
    settings.name,
  ]);
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

/** All links of the namespace. Throws {@link NetlinkError}. */
export function linksOf(rtnetlink: Rtnetlink): Link[] {
  return rtnetlink.list(request(RTM_GETLINK, 0, {}, skipStats, ["list", "links"]), readLink);
}

/** Bridges of the namespace: the kernel leaves all other links out. Throws {@link NetlinkError}. */
export function bridgesOf(rtnetlink: Rtnetlink): Link[] {
  const bridges = { ...skipStats, linkinfo: bytesOf(formatInfo({ kind: "bridge" })) };
  const found = rtnetlink.list(request(RTM_GETLINK, 0, {}, bridges, ["list", "bridges"]), readLink);
  return found.filter(({ kind }) => kind === "bridge");
}

const skipStats: LinkAttrs = { extMask: Buffer.of(RTEXT_FILTER_SKIP_STATS, 0, 0, 0) };

function readLink(payload: Buffer): Link {
  const attributes = new Attributes(payload.subarray(HEADER.size));
  // Numbers of rtnetlink are in the machine's order, which is little-endian wherever pontoon runs.
  const number = (type: number) => {
    const raw = attributes.raw(type);
    return raw?.length === 4 ? raw.readUInt32LE() : undefined;
  };
  const info = attributes.nested(IFLA.info);
  return {
    index: payload.readInt32LE(HEADER.index),
    name: attributes.text(IFLA.name) ?? "",
    kind: info?.text(IFLA_INFO_KIND),
    isUp: (payload.readUInt32LE(HEADER.flags) & IFF_UP) !== 0,
    mtu: number(IFLA.mtu) ?? 0,
    mac: attributes.raw(IFLA.address)?.toString("hex").match(/../g)?.join(":") ?? "",
    master: number(IFLA.master),
    peer: number(IFLA.link),
    alias: attributes.text(IFLA.alias),
    group: number(IFLA.group) ?? 0,
    bridge: info?.text(IFLA_INFO_KIND) === "bridge" ? readBridge(info.nested(IFLA_INFO_DATA)) : undefined,
  };
}

function readBridge(data: Attributes | undefined): BridgeSettings {
  const id = data?.raw(BRIDGE.id)?.toString("hex") ?? "";
  return { id: `${id.slice(0, 4)}.${id.slice(4)}`, stp: data?.raw(BRIDGE.stp)?.some((byte) => byte !== 0) ?? false };
}

function request(
  type: number,
  flags: number,
  header: LinkHeader,
  attributes: LinkAttrs,
  subject: readonly (string | number)[],
): RtRequest {
  return { type, flags, body: bytesOf(formatLink(header), formatLinkAttrs(attributes)), subject: subject.join(" ") };
}

function encoded({
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
      ...(mac !== undefined && { address: Buffer.from(mac.replaceAll(":", ""), "hex") }),
      ...(master !== undefined && { master }),
      ...(group !== undefined && { group }),
      ...(namespace !== undefined && { netNsFd: namespace }),
    },
  };
}

const indexOf = (link: LinkRef): LinkHeader => (typeof link === "number" ? { index: link } : {});
const nameOf = (link: LinkRef): LinkAttrs => (typeof link === "string" ? { ifname: link } : {});
