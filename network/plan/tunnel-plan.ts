import type { InterfaceAddress } from "../../linux/netlink/rtnetlink/addresses.js";
import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import type { WireguardChanges, WireguardPeer, WireguardState } from "../../linux/wireguard/device.js";
import { aliasOf, type TunnelPeer, type WantedNetwork, type WantedTunnel } from "../wanted.js";
import { isSameAddress } from "./same.js";

// The WireGuard link of a host: there while a network needs it.

/** What VXLAN puts around a packet over IPv6, bytes, without the outer Ethernet header: what is to fit the tunnel beside it. */
const vxlanOverhead = 40 + 8 + 8 + 14;
/** Links with a smaller MTU have no IPv6 (RFC 8200, section 5), of which addresses in the tunnel are. */
const ipv6AtLeast = 1280;

/** What makes the link as it is wanted, in this order. Each can be done again. */
export type TunnelStep =
  /** Another kind of link, or one that nothing needs. */
  | "delete"
  | "make"
  /** Of a link that a program serves: nobody does. */
  | "start"
  /** Its alias, MTU and address, and that it is up. */
  | "set";

/** What there is of the link. */
export interface SeenTunnel {
  readonly link: Link | undefined;
  /** Those of the link, link-local ones included. */
  readonly addresses: readonly InterfaceAddress[];
  /** How WireGuard is set there; undefined where nobody answers. */
  readonly state: WireguardState | undefined;
}

/** Bytes that a packet in the tunnel has at the most; undefined where no network needs one. */
export function tunnelMtu(networks: Iterable<WantedNetwork>): number | undefined {
  const most = Math.max(...[...networks].filter(isEncrypted).map(({ mtu }) => mtu));
  return most > 0 ? Math.max(most + vxlanOverhead, ipv6AtLeast) : undefined;
}

const isEncrypted = ({ overlay }: WantedNetwork): boolean => overlay?.isEncrypted === true;

export const tunnelPrefix = 64;

/** @param mtu as {@link tunnelMtu} has it */
export function planTunnel(
  wanted: Pick<WantedTunnel, "by" | "address">,
  mtu: number,
  { link, addresses, state }: SeenTunnel,
): TunnelStep[] {
  const make: TunnelStep[] = wanted.by === "kernel" ? ["make", "set"] : ["make", "start", "set"];
  if (!link) return make;
  if (!isOurTunnel(link)) return make; // making it tells
  if (link.kind !== kindOf(wanted)) return ["delete", ...make];
  if (state === undefined) return wanted.by === "kernel" ? ["delete", ...make] : ["start", "set"];
  const isSet =
    link.isUp &&
    link.mtu === mtu &&
    link.alias === aliasOf.tunnel &&
    addresses.length === 1 &&
    isSameAddress(addresses[0]!, { ip: wanted.address, prefix: tunnelPrefix });
  return isSet ? [] : ["set"];
}

/** One that is cut off between being made and being named has no alias yet. */
export function isOurTunnel({ kind, alias }: Link): boolean {
  return (kind === "wireguard" || kind === "tun") && (alias === undefined || alias === aliasOf.tunnel);
}

const kindOf = ({ by }: Pick<WantedTunnel, "by">): string => (by === "kernel" ? "wireguard" : "tun");

/**
 * What is to be set otherwise at WireGuard; undefined for nothing. Where a peer is reached counts when the wish changes, and not when
 * WireGuard has found it elsewhere since: it does so only by what the peer has signed.
 * @param before what was wanted when it was set last, in this process
 */
export function tunnelChanges(
  wanted: WantedTunnel,
  state: WireguardState,
  before: readonly TunnelPeer[],
): WireguardChanges | undefined {
  const isKeyOther = state.privateKey !== wanted.privateKey;
  const known = new Map(state.peers.map((peer) => [peer.publicKey, peer]));
  const keys = new Set(wanted.peers.map(({ publicKey }) => publicKey));
  const put = wanted.peers.filter((peer) => {
    const there = known.get(peer.publicKey);
    return !there || isKeyOther || !isAllowedAlone(there, peer) || hasMoved(peer, there, before);
  });
  const removed = state.peers.map(({ publicKey }) => publicKey).filter((key) => !keys.has(key));
  const isSame = !isKeyOther && state.port === wanted.port && put.length === 0 && removed.length === 0;
  if (isSame) return undefined;
  return {
    ...(isKeyOther && { privateKey: wanted.privateKey }),
    ...(state.port !== wanted.port && { port: wanted.port }),
    put: put.map(peerOf),
    removed,
  };
}

function peerOf({ publicKey, host, port, address }: TunnelPeer): WireguardPeer {
  return { publicKey, endpoint: { ip: host, port }, allowed: [rangeOf(address)] };
}

const rangeOf = (address: string): string => `${address}/128`;

function isAllowedAlone({ allowed }: WireguardPeer, { address }: TunnelPeer): boolean {
  return allowed.length === 1 && allowed[0] === rangeOf(address);
}

function hasMoved({ publicKey, host, port }: TunnelPeer, there: WireguardPeer, before: readonly TunnelPeer[]): boolean {
  if (there.endpoint === undefined) return true;
  const last = before.find((peer) => peer.publicKey === publicKey);
  // What an earlier process has set is not known.
  if (!last) return there.endpoint.ip !== host || there.endpoint.port !== port;
  return last.host !== host || last.port !== port;
}
