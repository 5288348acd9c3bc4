import { encodeIP, type Family } from "../../../common/address.js";
import { FAMILY, META, PAYLOAD_BASE } from "../../../linux/netlink/nftables/numbers.js";
import type { Bytes } from "../../../linux/netlink/nftables/known-bytes.js";

/** `IPPROTO_*` of what is traced. */
export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;

/** A link that a packet passes, as rules ask about it. */
export interface PassedLink {
  readonly index: number;
  readonly name: string;
  readonly kind: string | undefined;
  readonly group: number;
}

/** The first packet of a connection, as it is at some point of its way. */
export interface Packet {
  readonly family: Family;
  readonly protocol: number;
  readonly from: string;
  readonly to: string;
  /** Of TCP and UDP; undefined for others. */
  readonly toPort: number | undefined;
  /** Where it was sent to, before anything was translated. */
  readonly sentTo: { readonly ip: string; readonly port: number | undefined };
  readonly mark: number;
  readonly connectionMark: number;
  /** Whether a rule has changed where it goes, and from whom it seems to come. */
  readonly translated: { readonly source: boolean; readonly destination: boolean };
  readonly isUntracked: boolean;
  /** It has been through here before, on its way out: NAT is asked about a connection once. */
  readonly isKnown: boolean;
  readonly iif: PassedLink | undefined;
  readonly oif: PassedLink | undefined;
  /** The bridge hands it from port to port: rules of IP see it because of br_netfilter. */
  readonly isBridged: boolean;
}

/** Where ports begin behind the IP header, and the flags of TCP (RFC 9293 section 3.1). */
const TCP_FLAGS_AT = 13;
const SYN = 0x02;
const ECHO_REQUEST = { ipv4: 8, ipv6: 128 } as const;

/** A byte of the packet; undefined when it is not known. */
export function byteOf(packet: Packet, base: number | undefined, at: number): number | undefined {
  if (base === PAYLOAD_BASE.transport) return transportByte(packet, at);
  return base === PAYLOAD_BASE.network ? networkByte(packet, at) : undefined;
}

function transportByte({ protocol, toPort, family }: Packet, at: number): number | undefined {
  if (protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6)
    return at === 0 ? ECHO_REQUEST[family] : at === 1 ? 0 : undefined;
  if (toPort !== undefined && at === 2) return toPort >> 8;
  if (toPort !== undefined && at === 3) return toPort & 0xff;
  return protocol === PROTOCOL.tcp && at === TCP_FLAGS_AT ? SYN : undefined;
}

function networkByte({ family, protocol, from, to }: Packet, at: number): number | undefined {
  if (family === "ipv4") {
    if (at === 9) return protocol;
    if (at >= 12 && at < 16) return encodeIP(from)[at - 12];
    return at >= 16 && at < 20 ? encodeIP(to)[at - 16] : undefined;
  }
  if (at === 6) return protocol;
  if (at >= 8 && at < 24) return encodeIP(from)[at - 8];
  return at >= 24 && at < 40 ? encodeIP(to)[at - 24] : undefined;
}

/** What `meta` loads; empty when it is not known. */
export function metaOf(packet: Packet, key: number | undefined): Bytes {
  const isV6 = packet.family === "ipv6";
  switch (key) {
    case META.l4proto:
      return [packet.protocol];
    case META.nfproto:
      return [isV6 ? FAMILY.ip6 : FAMILY.ip];
    case META.protocol:
      return isV6 ? [0x86, 0xdd] : [0x08, 0x00];
    case META.mark:
      return word(packet.mark);
    case META.pkttype:
      return [0];
    case META.iif:
      return word(packet.iif?.index ?? 0);
    case META.oif:
      return word(packet.oif?.index ?? 0);
    case META.iifname:
      return nameBytes(packet.iif?.name);
    case META.oifname:
      return nameBytes(packet.oif?.name);
    case META.iifgroup:
      return word(packet.iif?.group ?? 0);
    case META.oifgroup:
      return word(packet.oif?.group ?? 0);
    case META.iifkind:
      return nameBytes(packet.iif?.kind);
    case META.oifkind:
      return nameBytes(packet.oif?.kind);
    default:
      return [];
  }
}

function nameBytes(name = ""): Bytes {
  const bytes = Buffer.alloc(16);
  bytes.write(name, "latin1");
  return [...bytes];
}

/** Four bytes in the machine's order. */
export function word(value: number): Bytes {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return [...bytes];
}
