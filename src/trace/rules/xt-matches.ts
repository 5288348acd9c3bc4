import { decodeIP, encodeIP } from "../../../common/address.js";
import type { Outcome } from "../../../linux/netlink/nftables/known-bytes.js";
import { dportsOfMatch } from "../../../linux/netlink/nftables/xt.js";
import type { Surroundings } from "./surroundings.js";
import { PROTOCOL, type Packet } from "./packet.js";

// Matches of iptables' nft variant, by their structs (include/uapi/linux/netfilter/xt_*.h). What has another form than
// expected, or is not known, may match.

/** Those that do not tell packets of one connection's beginning apart: a limit is not reached by one packet. */
const withoutCondition = new Set(["comment", "limit"]);

/** Whether a packet passes a match. @param info its struct */
export function passesMatch(
  name: string,
  revision: number,
  info: Buffer,
  packet: Packet,
  surroundings: Surroundings,
): Outcome {
  if (withoutCondition.has(name)) return "passes";
  try {
    return matches[name]?.(info, packet, { revision, surroundings }) ?? "perhaps";
  } catch (error) {
    if (error instanceof RangeError) return "perhaps"; // shorter than its struct
    throw error;
  }
}

interface Context {
  readonly revision: number;
  readonly surroundings: Surroundings;
}
type Match = (info: Buffer, packet: Packet, context: Context) => Outcome | undefined;

const matches: Readonly<Record<string, Match>> = {
  tcp: (info, packet) => ofPorts("tcp", PROTOCOL.tcp, info, packet),
  udp: (info, packet) => ofPorts("udp", PROTOCOL.udp, info, packet),
  multiport: (info, packet) => ofDestination("multiport", info, packet),
  conntrack,
  state: (info, packet) => decided((info.readUInt32LE(0) & stateBit(packet)) !== 0),
  addrtype,
  mark: (info, { mark }) => ofMark(info, mark),
  connmark: (info, { connectionMark }) => ofMark(info, connectionMark),
  physdev,
  iprange,
};

function decided(holds: boolean, isInverted = false): Outcome {
  return holds === isInverted ? "fails" : "passes";
}

/** `struct xt_tcp`, `struct xt_udp`: source ports first, of which nothing is known but that they are any. */
function ofPorts(name: string, protocol: number, info: Buffer, packet: Packet): Outcome {
  if (packet.protocol !== protocol) return "fails";
  const asksForSource = info.readUInt16LE(0) !== 0 || info.readUInt16LE(2) !== 0xffff;
  const destination = ofDestination(name, info, packet) ?? "passes";
  if (destination === "fails") return "fails";
  const flags = name === "tcp" ? ofFlags(info) : "passes";
  return flags === "fails" ? "fails" : asksForSource ? "perhaps" : flags;
}

/** Mask, wanted, and bit 3 of what is inverted. */
function ofFlags(info: Buffer): Outcome {
  if (info.readUInt8(8) !== 0) return "perhaps"; // an option
  const syn = 0x02;
  return decided((syn & info.readUInt8(9)) === info.readUInt8(10), (info.readUInt8(11) & 0x04) !== 0);
}

function ofDestination(name: string, info: Buffer, { toPort }: Packet): Outcome | undefined {
  const ports = dportsOfMatch(name, info);
  if (!ports) return undefined;
  if (toPort === undefined) return "fails";
  return decided(
    ports.ranges.some(({ first, last }) => first <= toPort && toPort <= last),
    ports.isInverted,
  );
}

/** `XT_CONNTRACK_*`. */
const CONNTRACK = {
  flags: 146,
  inverted: 148,
  state: 150,
  protocol: 136,
  destinationPort: 140,
  source: 0,
  destination: 32,
} as const;
const ASKS = { state: 1, protocol: 2, source: 4, destination: 8, destinationPort: 0x200, direction: 0x1000 } as const;

/** `struct xt_conntrack_mtinfo3`, and that of revision 2, which has the same beginning. */
function conntrack(info: Buffer, packet: Packet, { revision }: Context): Outcome {
  if (revision < 2) return "perhaps";
  const [asks, inverted] = [info.readUInt16LE(CONNTRACK.flags), info.readUInt16LE(CONNTRACK.inverted)];
  const tests: [bit: number, holds: () => boolean][] = [
    [ASKS.state, () => (info.readUInt16LE(CONNTRACK.state) & stateBit(packet)) !== 0],
    [ASKS.protocol, () => info.readUInt16LE(CONNTRACK.protocol) === packet.protocol],
    [ASKS.source, () => isWithin(packet.from, info, CONNTRACK.source)],
    [ASKS.destination, () => isWithin(packet.sentTo.ip, info, CONNTRACK.destination)],
    [ASKS.destinationPort, () => info.readUInt16BE(CONNTRACK.destinationPort) === packet.sentTo.port],
    [ASKS.direction, () => true],
  ];
  const known = tests.reduce((bits, [bit]) => bits | bit, 0);
  const outcomes = tests
    .filter(([bit]) => (asks & bit) !== 0)
    .map(([bit, holds]) => decided(holds(), (inverted & bit) !== 0));
  if (outcomes.includes("fails")) return "fails";
  return (asks & ~known) !== 0 ? "perhaps" : "passes";
}

/** `XT_CONNTRACK_STATE_*`: a first packet is new, whatever has been translated. */
function stateBit({ translated, isUntracked }: Packet): number {
  if (isUntracked) return 0x100;
  return 0x8 | (translated.source ? 0x40 : 0) | (translated.destination ? 0x80 : 0);
}

/** Sixteen bytes of an address, and as many of a mask. */
function isWithin(ip: string, info: Buffer, at: number): boolean {
  const bytes = encodeIP(ip);
  return bytes.every((byte, index) => (byte & info.readUInt8(at + 16 + index)) === info.readUInt8(at + index));
}

const TYPE = { unicast: 1, local: 2, broadcast: 3, multicast: 5 } as const;
const ADDRTYPE = { invertSource: 1, invertDestination: 2, limits: 0x4 | 0x8 } as const;

/** `struct xt_addrtype_info_v1`: sets of kinds of addresses. */
function addrtype(info: Buffer, { from, to }: Packet, { revision, surroundings }: Context): Outcome {
  const [source, destination, flags] = [info.readUInt16LE(0), info.readUInt16LE(2), info.readUInt32LE(4)];
  const isOf = (ip: string, wanted: number) => (wanted & (1 << TYPE[surroundings.kindOf(ip)])) !== 0;
  const outcomes = [
    ...(source === 0 ? [] : [decided(isOf(from, source), (flags & ADDRTYPE.invertSource) !== 0)]),
    ...(destination === 0 ? [] : [decided(isOf(to, destination), (flags & ADDRTYPE.invertDestination) !== 0)]),
  ];
  if (revision !== 1) return "perhaps";
  if (outcomes.includes("fails")) return (flags & ADDRTYPE.limits) === 0 ? "fails" : "perhaps";
  return (flags & ADDRTYPE.limits) === 0 ? "passes" : "perhaps";
}

/** `struct xt_mark_mtinfo1`, `struct xt_connmark_mtinfo1`. */
function ofMark(info: Buffer, mark: number): Outcome {
  const [wanted, mask] = [info.readUInt32LE(0), info.readUInt32LE(4)];
  return decided((mark & mask) >>> 0 === wanted, info.readUInt8(8) !== 0);
}

const PHYSDEV = { inverted: 64, asks: 65 } as const;
const IS_BRIDGED = 0x04;

/** `struct xt_physdev_info`, of which only whether it is bridged is judged. */
function physdev(info: Buffer, { isBridged }: Packet): Outcome {
  if (info.readUInt8(PHYSDEV.asks) !== IS_BRIDGED) return isBridged ? "perhaps" : "fails";
  return decided(isBridged, (info.readUInt8(PHYSDEV.inverted) & IS_BRIDGED) !== 0);
}

const IPRANGE = { sourceEnd: 16, destination: 32, destinationEnd: 48, flags: 64 } as const;

/** `struct xt_iprange_mtinfo`. */
function iprange(info: Buffer, { from, to, family }: Packet): Outcome {
  const size = family === "ipv4" ? 4 : 16;
  const flags = info.readUInt8(IPRANGE.flags);
  const isBetween = (ip: string, first: number, last: number) =>
    compareAddresses(ip, decodeIP(info.subarray(first, first + size))) >= 0 &&
    compareAddresses(ip, decodeIP(info.subarray(last, last + size))) <= 0;
  const outcomes = [
    ...(flags & 1 ? [decided(isBetween(from, 0, IPRANGE.sourceEnd), (flags & 0x10) !== 0)] : []),
    ...(flags & 2 ? [decided(isBetween(to, IPRANGE.destination, IPRANGE.destinationEnd), (flags & 0x20) !== 0)] : []),
  ];
  return outcomes.includes("fails") ? "fails" : "passes";
}

function compareAddresses(one: string, other: string): number {
  return Buffer.compare(encodeIP(one), encodeIP(other));
}
