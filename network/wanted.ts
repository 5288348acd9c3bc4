// What is wanted of the kernel, as plain data. Nothing here knows who wants it, and everything passes from thread to thread as it is.

import { QUIET_GROUP, type FirewallNetwork } from "./firewall/wanted.js";
import type { InterfaceAddress } from "../linux/netlink/rtnetlink/addresses.js";
import type { ChildKind } from "../linux/netlink/rtnetlink/child-links.js";

/** A network on this host: a bridge, or a link of the host's that leads to a LAN. */
export interface WantedNetwork {
  readonly id: string;
  readonly name: string;
  /** The host's own link on it. */
  readonly bridge: string;
  /** In place of a bridge. */
  readonly lan?: WantedLan;
  /** In place of a bridge: two endpoints are the two ends of one link. */
  readonly isPair?: boolean;
  /** In place of a bridge: links are made, and taken away, by a driver of somebody else's. */
  readonly isRemote?: boolean;
  /** The bridge is somebody else's: its addresses, its MTU and its life are not ours. */
  readonly isAdopted: boolean;
  /** Of `addresses`, those that an adopted bridge is given, and that are taken away with the network. */
  readonly lent?: readonly InterfaceAddress[];
  /** Of the host's link itself: the gateways of its subnets, or the host's own on a LAN. */
  readonly addresses: readonly InterfaceAddress[];
  /** Those that were its own, and are taken away from it. */
  readonly former?: readonly InterfaceAddress[];
  /** One that stays whatever is plugged in: `02:42:…`; undefined for a link that has its parent's. */
  readonly mac: string | undefined;
  readonly mtu: number;
  readonly hasIPv6: boolean;
  /** Beside its bridge: endpoints on other hosts are on it, too. */
  readonly overlay?: WantedOverlay;
  /** The LAN at a link of the host reaches endpoints by their IPv6 addresses. */
  readonly ndpProxy?: WantedNdpProxy;
  /** A container engine has made it, and says when it goes: it is not removed for being unknown. */
  readonly isEngines?: boolean;
  /** What the host's firewall does for it; undefined for a network without rules. */
  readonly firewall: Omit<FirewallNetwork, "name" | "bridge"> | undefined;
}

/**
 * The VXLAN link (RFC 7348) by which a bridge leads to other hosts: a port of it. It learns and floods nothing; where each endpoint
 * is, {@link WantedNeighbour}s say.
 */
export interface WantedOverlay {
  /** Its name. */
  readonly link: string;
  /** 1 to 16777215; the same on each host. */
  readonly vni: number;
  /** This host's address on the underlay, of either family; other hosts' are of the same one. */
  readonly local: string;
  /** Of UDP; the same on each host. */
  readonly port: number;
  /** It sends and takes packets by the host's {@link WantedTunnel} alone; `local` and its neighbours' hosts are addresses there. */
  readonly isEncrypted?: true;
}

/**
 * The WireGuard link of this host, by which packets of encrypted overlay networks go to other hosts. It is there while such a network is.
 */
export interface WantedTunnel {
  /** Who does WireGuard's work: the kernel, or a program that serves a tun link as wireguard-go does. */
  readonly by: "kernel" | { readonly program: string };
  /** 32 bytes as base64. */
  readonly privateKey: string;
  /** Of UDP, where other hosts reach it. */
  readonly port: number;
  /** The host's own on it, link-local: nothing that is sent from it, or to one like it, leaves by another link. */
  readonly address: string;
  /** Other hosts. */
  readonly peers: readonly TunnelPeer[];
}

export interface TunnelPeer {
  /** 32 bytes as base64. */
  readonly publicKey: string;
  /** That host's address on the underlay. */
  readonly host: string;
  readonly port: number;
  /** As {@link WantedTunnel.address}: what comes from there with another address is dropped. */
  readonly address: string;
}

/** An address of an endpoint that is on another host of an overlay network. */
export interface WantedNeighbour {
  /** Of either family, as the kernel writes it. */
  readonly ip: string;
  /** The endpoint's, `02:42:…`; no other endpoint of the network has it. */
  readonly mac: string;
  /** Where it is: that host's address on the underlay, or in the tunnel. */
  readonly host: string;
}

/** What is otherwise from now on with endpoints of an overlay network that are on other hosts. */
export interface NeighbourChange {
  /** The id of a network, which may come later. */
  readonly network: string;
  /** New ones, and those that are elsewhere by now. */
  readonly put: readonly WantedNeighbour[];
  /** Addresses that are nobody's any more; counts before `put`. */
  readonly removed: readonly string[];
  /** `put` is all there are: others go. */
  readonly isAll?: true;
}

export interface WantedNdpProxy {
  readonly link: string;
  /** It answered for others before there was a network of ours, and goes on doing so. */
  readonly wasOn: boolean;
}

/** A network whose endpoints are neighbours of whoever is on the LAN at `parent`: links on that parent, without another end. */
export interface WantedLan {
  readonly child: LanChild;
  readonly parent: string;
  /** What is made for it where it is not there, and goes with the last network on it: a VLAN of another link. */
  readonly vlan: { readonly of: string; readonly id: number } | undefined;
  /** Whether the host has a link of its own on it, `bridge`, with routes to each endpoint: it does not reach them by the parent. */
  readonly hasHostAccess: boolean;
}

/** What endpoints on a parent are. */
export type LanChild = Exclude<ChildKind, { readonly kind: "vlan" }>;

/** A network namespace that endpoints are in. */
export interface WantedSandbox {
  readonly id: string;
  readonly name: string;
  /** Where its namespace is opened: a file below /run/netns. */
  readonly path: string;
  /**
   * Of a namespace that is somebody else's: what `path` is a link to, or `path` itself where they gave it the name. Undefined
   * for one of our own, which is made if it is not there.
   */
  readonly target: string | undefined;
  /** Tells the namespace from another that comes to be in its place; undefined for whichever is there. */
  readonly inode: number | undefined;
  /** Whether one that comes to be in its place is meant, too. */
  readonly isReplaceable: boolean;
  /** The sandbox whose namespace it shares: all that is in it is that one's. */
  readonly owner?: string;
  /** It is given its name now: what has that name already is somebody else's. */
  readonly isFirst?: boolean;
}

/** A sandbox's place on a network: a veth pair, or a link on the network's parent. */
export interface WantedEndpoint {
  readonly id: string;
  readonly network: string;
  readonly sandbox: string;
  /** The host's end, where there is one. */
  readonly hostLink: string;
  /** The sandbox's end. */
  readonly ifname: string;
  /** Undefined for one that has its parent's. */
  readonly mac: string | undefined;
  /** 0 for what it has already. */
  readonly mtu: number;
  /** The host's end belongs to this group; 0 for none. */
  readonly group: number;
  readonly addresses: readonly InterfaceAddress[];
  /** Of the network, one for each family in which it leads out. */
  readonly gateways: readonly string[];
  /**
   * Ways beside the way out, in the order in which they can be made; without a gateway right over the link. Where this is given, all
   * other IPv4 routes of the link go, but for those the kernel makes itself.
   */
  readonly routes?: readonly { readonly destination: InterfaceAddress; readonly gateway: string | undefined }[];
  /** Whether the sandbox leaves through it by default, by family. */
  readonly isDefault: { readonly ipv4: boolean; readonly ipv6: boolean };
  /**
   * The routing table for what comes from its addresses, so that replies leave by the network they were asked on; its own within the
   * sandbox. Undefined where there is one way out.
   */
  readonly table: number | undefined;
  readonly bandwidth?: WantedBandwidth;
  /** The link is not ours to make: a driver has made it on the host, called `hostLink`, and gets it back. */
  readonly remote?: WantedRemote;
}

/** How fast an endpoint is at the most; a way that is left out is as fast as it can be. */
export interface WantedBandwidth {
  readonly toSandbox?: RateLimit;
  readonly fromSandbox?: RateLimit;
}

export interface RateLimit {
  /** Bits a second. */
  readonly rate: number;
  /** Bytes that may pass at once after a pause; as many as are fit for the rate where it says nothing. */
  readonly burst?: number;
}

/** What a driver of somebody else's says of a link beside its addresses and gateways. */
export interface WantedRemote {
  /** Without `via`, right over the link. */
  readonly routes: readonly { readonly to: InterfaceAddress; readonly via?: string }[];
}

/**
 * A container's place on a network: a veth pair of which a container engine takes the other end from the host into the
 * container's namespace, and sets it up there; or a link on the network's parent that it takes so.
 */
export interface WantedHandover {
  readonly id: string;
  readonly network: string;
  /** The host's end, where there is one. */
  readonly hostLink: string;
  /** The other end, for as long as it is on the host. */
  readonly peer: string;
  /** As {@link WantedEndpoint.mac}. */
  readonly mac: string | undefined;
  /** Addresses it gets there. */
  readonly ips: readonly string[];
  readonly mtu: number;
  /** The host's end belongs to this group; 0 for none. */
  readonly group: number;
  /** Where the engine has the container's namespace; it may be made later than the pair. */
  readonly path: string;
  readonly bandwidth?: WantedBandwidth;
}

export interface Wanted {
  readonly networks: ReadonlyMap<string, WantedNetwork>;
  readonly sandboxes: ReadonlyMap<string, WantedSandbox>;
  readonly endpoints: ReadonlyMap<string, WantedEndpoint>;
  readonly handovers: ReadonlyMap<string, WantedHandover>;
}

/** Links that are to be deleted, which is done for all of them at once, are in this group. A number nobody else is likely to have chosen. */
export const retiredGroup = 0x706f;

/** The link by which what comes from an endpoint goes where its rate is limited. */
export const shaperOf = ({ id }: Pick<WantedEndpoint, "id">): string => `pts${id.slice(0, 12)}`;

/** The group of the link of an overlay network: endpoints on other hosts are behind it, which local ones may be kept from. */
export const overlayGroup = ({ firewall }: Pick<WantedNetwork, "firewall">): number =>
  firewall?.icc === false ? QUIET_GROUP : 0;

/** Links that wait on the host for an engine to take them are called so, with a part of their endpoint's id. */
export const handedPrefix = "ptc";

/** Links on their way from a sandbox back to their driver are called so, with their index. */
export const onTheWayPrefix = "ptr";

/** What {@link WantedTunnel} is called: no network's link is. */
export const tunnelLink = "pt-wireguard";

/** Routing tables of endpoints are numbered from here on. */
export const firstTable = 1000;

/** How links tell whose they are (`ifalias`). */
export const aliasOf = {
  network: ({ id, isEngines = false }: Pick<WantedNetwork, "id" | "isEngines">): string =>
    `pontoon ${isEngines ? "engine-network" : "network"} ${id}`,
  endpoint: ({ id }: Pick<WantedEndpoint, "id">): string => `pontoon endpoint ${id}`,
  handover: ({ id }: Pick<WantedHandover, "id">): string => `pontoon engine-endpoint ${id}`,
  /**
   * Of links that are in a sandbox, or go to a container, without another end on the host to tell whose they are. A daemon inside
   * finds such a link as the way out of its own host: nothing of what it takes for left over is called so.
   */
  inside: ({ id }: Pick<WantedEndpoint, "id">): string => `pontoon link ${id}`,
  handed: ({ id }: Pick<WantedHandover, "id">): string => `pontoon engine-link ${id}`,
  /** Of the link that {@link shaperOf} names. */
  shaper: ({ id }: Pick<WantedEndpoint, "id">): string => `pontoon shaper ${id}`,
  engineShaper: ({ id }: Pick<WantedHandover, "id">): string => `pontoon engine-shaper ${id}`,
  /** Of the link by which an overlay network leads to other hosts. */
  overlay: ({ id, isEngines = false }: Pick<WantedNetwork, "id" | "isEngines">): string =>
    `pontoon ${isEngines ? "engine-overlay" : "overlay"} ${id}`,
  /** Of the link that {@link tunnelLink} names. */
  tunnel: "pontoon tunnel",
  /** Of a link that networks share. */
  vlan: (name: string): string => `pontoon vlan ${name}`,
};

/** Whether a link is a bridge that was made for a network. */
export function isOurBridge({ alias }: { readonly alias?: string | undefined }): boolean {
  return [false, true].some((isEngines) => alias?.startsWith(aliasOf.network({ id: "", isEngines })));
}
