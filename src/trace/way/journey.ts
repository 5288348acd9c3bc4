import { familyOf, type Family } from "../../../common/address.js";
import type { LinkAddress } from "../../../linux/netlink/rtnetlink/address-list.js";
import type { Link } from "../../../linux/netlink/rtnetlink/link-list.js";
import type { FoundRoute } from "../../../linux/netlink/rtnetlink/route-lookup.js";
import type { Container, Network } from "../../inventory/types.js";
import type { Place, Transport, World } from "../facts/world.js";
import type { AddressKind, Surroundings } from "../rules/surroundings.js";
import { PROTOCOL, type Packet, type PassedLink } from "../rules/packet.js";
import type { End, Trail } from "../steps.js";

/** A packet on its way: what it may meet, what was found, and what links it has passed. */
export interface Journey {
  readonly world: World;
  readonly trail: Trail;
  readonly transport: Transport;
  /** As people call who sends it, and what it is sent to. */
  readonly words: { readonly from: string; readonly to: string };
  /** The address that its sender's packet goes to, once it is known. */
  sentTo: string | undefined;
  /** In order. */
  readonly passed: { readonly place: string; readonly link: Link; readonly isRouted: boolean }[];
  /** The host's link by which it has come into the namespace it is in. */
  entered: Link | undefined;
}

/** What happens to it next. */
export type Stage =
  /** A namespace sends it. */
  | { readonly at: "send"; readonly place: Place; readonly packet: Packet }
  /** It leaves a namespace by a link, for a neighbour. */
  | { readonly at: "cross"; readonly place: Place; readonly link: Link; readonly hop: string; readonly packet: Packet }
  /** It comes into a namespace. */
  | { readonly at: "receive"; readonly place: Place; readonly link: Link; readonly packet: Packet }
  /** It is for this namespace itself. */
  | { readonly at: "deliver"; readonly place: Place; readonly packet: Packet }
  | { readonly at: "end"; readonly end: End };

/** A packet that nobody has touched yet. */
export function newPacket(transport: Transport, from: string, to: string, port: number | undefined): Packet {
  const family = familyOf(to);
  const icmp = family === "ipv4" ? PROTOCOL.icmp : PROTOCOL.icmpv6;
  return {
    family,
    protocol: transport === "icmp" ? icmp : PROTOCOL[transport],
    from,
    to,
    toPort: port,
    sentTo: { ip: to, port },
    mark: 0,
    connectionMark: 0,
    translated: { source: false, destination: false },
    isUntracked: false,
    isKnown: false,
    iif: undefined,
    oif: undefined,
    isBridged: false,
  };
}

/** The packet as another namespace sees it: what one knows of a connection stays there. */
export function asNew(packet: Packet): Packet {
  return {
    ...newPacket("tcp", packet.from, packet.to, packet.toPort),
    protocol: packet.protocol,
  };
}

export function passedLink({ index, name, kind, group }: Link): PassedLink {
  return { index, name, kind, group };
}

export function linkOf(place: Place, index: number | undefined): Link | undefined {
  return index === undefined ? undefined : place.links.find((link) => link.index === index);
}

/** The link of a route, whose own limit counts as the link's. */
export function linkOfRoute(place: Place, route: FoundRoute): Link | undefined {
  if (route.kind === "refused") return undefined;
  const link = linkOf(place, route.link);
  return link && { ...link, mtu: Math.min(link.mtu, route.mtu ?? link.mtu) };
}

/** Addresses of one family, of one link or of all. */
export function addressesOf(place: Place, family: Family, link?: number): LinkAddress[] {
  return place.addresses.filter(
    (address) => familyOf(address.ip) === family && (link === undefined || address.index === link),
  );
}

export function hasAddress(place: Place, ip: string): boolean {
  return place.addresses.some((address) => address.ip === ip);
}

/** What rules ask a namespace for. */
export function surroundingsOf(place: Place, family: Family): Surroundings {
  return {
    kindOf: (ip) => kindOf(place, ip),
    linkTo: (ip) => {
      const route = place.route({ to: ip });
      return route.kind === "refused" ? undefined : route.link;
    },
    addressOf: (link) => addressesOf(place, family, link).find(({ isLinkLocal }) => !isLinkLocal)?.ip,
  };
}

function kindOf(place: Place, ip: string): AddressKind {
  if (hasAddress(place, ip) || ip.startsWith("127.") || ip === "::1") return "local";
  const route = place.route({ to: ip });
  return route.kind === "local" || route.kind === "broadcast" || route.kind === "multicast" ? route.kind : "unicast";
}

/** The running container that has an address. */
export function containerAt(world: World, ip: string): Container | undefined {
  return world.containers.find(
    ({ running, networkMode, endpoints }) =>
      running && networkMode.kind !== "container" && endpoints.some(({ ipv4, ipv6 }) => ipv4 === ip || ipv6 === ip),
  );
}

/** The network a bridge belongs to; undefined when it is nobody's that is known. */
export function networkOf(world: World, bridge: Link | undefined): Network | undefined {
  if (!bridge) return undefined;
  const id = /^pontoon (?:engine-)?network (\S+)$/.exec(bridge.alias ?? "")?.[1];
  return world.networks.find((network) => network.id === id || network.bridge === bridge.name);
}

/** `network front`, or the bridge's own name. */
export function networkWords(world: World, bridge: Link): string {
  const network = networkOf(world, bridge);
  return network ? `network ${network.name}` : `bridge ${bridge.name}`;
}

/** Names of Docker's bridges. */
export function dockerBridges({ networks }: World): string[] {
  return networks.flatMap(({ source, bridge }) => (source === "docker" && bridge !== undefined ? [bridge] : []));
}

/** `port 80/tcp`, or `ping`. */
export function portWords(transport: Transport, port: number | undefined): string {
  return port === undefined ? "ping" : `port ${port}/${transport}`;
}

/** A command as it is typed for a namespace. */
export function commandIn({ path }: Place, command: string): string {
  return path === undefined ? command : `nsenter --net=${path} ${command}`;
}
