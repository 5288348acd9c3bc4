import { encodeIPv4, encodeIPv6, familyOf } from "../../common/address.js";
import { EINVAL, ENOENT } from "../constants.js";
import { Attributes, type AttributeWriter } from "./attributes.js";
import type { Budget } from "./budget.js";
import { NetlinkError, type Nfnetlink } from "./nfnetlink.js";
import { hostOrder } from "./nftables/data-types.js";
import { FAMILY } from "./nftables/numbers.js";

// Numbers of include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const NFNL_SUBSYS_CTNETLINK = 1;
const MESSAGE = { get: 1, delete: 2 } as const;
const ENTRY = { original: 1, reply: 2, mark: 8, id: 12, markMask: 21, filter: 25 } as const;
const TUPLE = { addresses: 1, protocol: 2, zone: 3 } as const;
const ADDRESS = { source4: 1, destination4: 2, source6: 3, destination6: 4 } as const;
const PROTOCOL = { number: 1, sourcePort: 2 } as const;
const FILTER = { reply: 2 } as const;
const FILTER_FLAG = { source: 0x1, protocol: 0x8, sourcePort: 0x10 } as const;
const IPPROTO = { tcp: 6, udp: 17 } as const;

/** Flows whose answers come from a given address: those that were translated to it, and those that went to it. */
export interface FlowTarget {
  readonly ip: string;
  /** Undefined for all ports. */
  readonly at?: { readonly transport: "tcp" | "udp"; readonly port: number };
  /** Only flows that have all these bits of the connection mark. */
  readonly mark?: number;
}

/**
 * Makes the kernel forget the flows to a target, so that the next packet of each is looked at as the first of a new one.
 * Where the kernel cannot choose by answering address, it is asked for a list, which the budget bounds.
 * Throws NetlinkError, and what {@link Nfnetlink.list} throws.
 */
export function forgetFlows(nfnetlink: Nfnetlink, target: FlowTarget, budget: Budget): void {
  if (!forgetByFilter(nfnetlink, target)) forgetByList(nfnetlink, target, budget);
}

/** @returns false when the kernel cannot: it takes the filter for the name of one flow, or would choose wrongly */
export function forgetByFilter(nfnetlink: Nfnetlink, target: FlowTarget): boolean {
  if (!filterIsRight(target)) return false;
  try {
    nfnetlink.perform({ ...request(MESSAGE.delete, target), write: (writer) => writeFilter(writer, target) });
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && (error.errno === ENOENT || error.errno === EINVAL || error.code === "ENOTSUP"))
      return false;
    throw error;
  }
}

/** One by one. */
export function forgetByList(nfnetlink: Nfnetlink, target: FlowTarget, budget: Budget): void {
  for (const flow of listFlows(nfnetlink, target, budget, nameOf)) forget(nfnetlink, target, flow);
}

/** What is read of each flow to a target. Throws as {@link forgetFlows} does. */
export function listFlows<Value>(
  nfnetlink: Nfnetlink,
  target: FlowTarget,
  budget: Budget,
  read: (attributes: Attributes) => Value | undefined,
): Value[] {
  const query = { ...request(MESSAGE.get, target), write: (writer: AttributeWriter) => writeFilter(writer, target) };
  return nfnetlink
    .list(query, budget, (payload) => {
      const attributes = new Attributes(payload);
      return isTo(attributes, target) ? read(attributes) : undefined;
    })
    .filter((value) => value !== undefined);
}

/**
 * Makes the kernel forget UDP flows that ports of these addresses answer themselves, since nothing translates them; so that a
 * translation there is by now counts for who goes on sending, too. Throws as {@link forgetFlows} does.
 * @param ips of one family, in the form in which the kernel would write them
 */
export function forgetUntranslated(
  nfnetlink: Nfnetlink,
  { ips, ports }: { readonly ips: readonly string[]; readonly ports: ReadonlySet<number> },
  budget: Budget,
): void {
  const [first] = ips;
  if (first === undefined) return;
  const any = { ip: first };
  const isV6 = familyOf(first) === "ipv6";
  const wanted = new Set(ips.map((ip) => (isV6 ? encodeIPv6(ip) : encodeIPv4(ip)).toString("hex")));
  const query = { ...request(MESSAGE.get, any), write: writeIsUdp };
  const flows = nfnetlink.list(query, budget, (payload) => {
    const attributes = new Attributes(payload);
    const [asked, answered] = [ENTRY.original, ENTRY.reply].map((way) => attributes.nested(way));
    const there = (which: number) => asked?.nested(TUPLE.addresses)?.raw(which)?.toString("hex");
    const protocol = answered?.nested(TUPLE.protocol);
    const source = answered
      ?.nested(TUPLE.addresses)
      ?.raw(isV6 ? ADDRESS.source6 : ADDRESS.source4)
      ?.toString("hex");
    const isMeant =
      source !== undefined &&
      wanted.has(source) &&
      source === there(isV6 ? ADDRESS.destination6 : ADDRESS.destination4) &&
      protocol?.u8(PROTOCOL.number) === IPPROTO.udp &&
      ports.has(protocol.u16(PROTOCOL.sourcePort) ?? -1);
    return isMeant ? nameOf(attributes) : undefined;
  });
  for (const flow of flows) if (flow) forget(nfnetlink, any, flow);
}

/** By which the kernel knows a flow. */
interface FlowName {
  readonly original: Buffer;
  readonly id: Buffer | undefined;
}

function nameOf(attributes: Attributes): FlowName | undefined {
  const [original, id] = [attributes.raw(ENTRY.original), attributes.raw(ENTRY.id)];
  return original && { original: Buffer.from(original), id: id && Buffer.from(id) };
}

function forget(nfnetlink: Nfnetlink, target: FlowTarget, { original, id }: FlowName): void {
  try {
    nfnetlink.perform({
      ...request(MESSAGE.delete, target),
      write: (writer) => {
        writer.raw(ENTRY.original | NLA_F_NESTED, original);
        if (id) writer.raw(ENTRY.id, id);
      },
    });
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === ENOENT)) throw error; // it has ended meanwhile
  }
}

function writeIsUdp(writer: AttributeWriter): void {
  writer.nest(ENTRY.reply, () => writer.nest(TUPLE.protocol, () => writer.u8(PROTOCOL.number, IPPROTO.udp)));
  writer.nest(ENTRY.filter, () => writer.raw(FILTER.reply, hostOrder(FILTER_FLAG.protocol)));
}

const NLA_F_NESTED = 0x8000;

/** The kernel compares IPv6 addresses the wrong way round: it chooses all flows but those (seen in Linux 6.18). */
function filterIsRight({ ip }: FlowTarget): boolean {
  return familyOf(ip) === "ipv4";
}

function request(message: number, { ip }: FlowTarget) {
  return {
    type: (NFNL_SUBSYS_CTNETLINK << 8) | message,
    family: familyOf(ip) === "ipv6" ? FAMILY.ip6 : FAMILY.ip,
    subject: `${message === MESSAGE.get ? "list" : "delete"} flows to ${ip}`,
  };
}

function writeFilter(writer: AttributeWriter, target: FlowTarget): void {
  const { mark } = target;
  if (filterIsRight(target)) writeReply(writer, target);
  if (mark === undefined) return;
  writer.u32(ENTRY.mark, mark);
  writer.u32(ENTRY.markMask, mark);
}

/** Whose answers are meant, and which parts of that count. */
function writeReply(writer: AttributeWriter, { ip, at }: FlowTarget): void {
  writer.nest(ENTRY.reply, () => {
    writer.nest(TUPLE.addresses, () => writer.raw(ADDRESS.source4, encodeIPv4(ip)));
    if (at)
      writer.nest(TUPLE.protocol, () => {
        writer.u8(PROTOCOL.number, IPPROTO[at.transport]);
        writer.u16(PROTOCOL.sourcePort, at.port);
      });
  });
  const flags = FILTER_FLAG.source | (at ? FILTER_FLAG.protocol | FILTER_FLAG.sourcePort : 0);
  writer.nest(ENTRY.filter, () => writer.raw(FILTER.reply, hostOrder(flags)));
}

/** Whether a flow is one of those: more may be listed. */
function isTo(attributes: Attributes, { ip, at, mark }: FlowTarget): boolean {
  const reply = attributes.nested(ENTRY.reply);
  const addresses = reply?.nested(TUPLE.addresses);
  const protocol = reply?.nested(TUPLE.protocol);
  const isV6 = familyOf(ip) === "ipv6";
  const source = addresses?.raw(isV6 ? ADDRESS.source6 : ADDRESS.source4);
  if (!source?.equals(isV6 ? encodeIPv6(ip) : encodeIPv4(ip))) return false;
  if (mark !== undefined && ((attributes.u32(ENTRY.mark) ?? 0) & mark) >>> 0 !== mark) return false;
  return (
    !at || (protocol?.u8(PROTOCOL.number) === IPPROTO[at.transport] && protocol.u16(PROTOCOL.sourcePort) === at.port)
  );
}
