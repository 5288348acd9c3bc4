import { decodeIP, encodeIP, familyOf } from "../../../common/address.js";
import { AF_INET, AF_INET6 } from "../../constants.js";
import { Attributes, AttributeWriter } from "../attributes.js";
import { NetlinkError } from "../nfnetlink.js";
import { hostOrder } from "../nftables/data-types.js";
import type { Rtnetlink } from "./rtnetlink.js";

// Which way the kernel would send a packet, as `ip route get` asks it: rules, tables and all.

const RTM_GETROUTE = 26;
/** `struct rtmsg`. */
const ROUTE = { size: 12, family: 0, toLength: 1, fromLength: 2, type: 7 } as const;
const RTA = { to: 1, from: 2, iif: 3, link: 4, gateway: 5, source: 7, metrics: 8, mark: 16 } as const;
const RTAX_MTU = 2;
/** `RTN_*`. */
const kinds = [
  "none",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
] as const;

export interface RouteQuestion {
  readonly to: string;
  readonly from?: string;
  /** Index of the link it comes in by; without, it is sent by the namespace itself. */
  readonly iif?: number;
  /** Its packet mark. */
  readonly mark?: number;
}

export type FoundRoute =
  | {
      readonly kind: (typeof kinds)[number];
      /** Index of the link it leaves by. */
      readonly link: number | undefined;
      readonly gateway: string | undefined;
      /** The address it is sent from, if it has none. */
      readonly source: string | undefined;
      /** Of the route; undefined for the link's. */
      readonly mtu: number | undefined;
    }
  /** There is none, or it may not be: with the name of the errno, e.g. `ENETUNREACH`. */
  | { readonly kind: "refused"; readonly errno: string };

/** Asks in the namespace of the connection. */
export function routeFor(rtnetlink: Rtnetlink, { to, from, iif, mark }: RouteQuestion): FoundRoute {
  const isV6 = familyOf(to) === "ipv6";
  const bits = isV6 ? 128 : 32;
  const writer = new AttributeWriter(128);
  writer.reserve(ROUTE.size);
  writer.memory.writeUInt8(isV6 ? AF_INET6 : AF_INET, ROUTE.family);
  writer.memory.writeUInt8(bits, ROUTE.toLength);
  if (from !== undefined) writer.memory.writeUInt8(bits, ROUTE.fromLength);
  writer.raw(RTA.to, encodeIP(to));
  if (from !== undefined) writer.raw(RTA.from, encodeIP(from));
  if (iif !== undefined) writer.raw(RTA.iif, hostOrder(iif));
  if (mark !== undefined && mark !== 0) writer.raw(RTA.mark, hostOrder(mark));
  const request = { type: RTM_GETROUTE, flags: 0, body: writer.bytes, subject: `get route to ${to}` };
  try {
    return rtnetlink.get(request, readRoute) ?? { kind: "refused", errno: "ENODEV" };
  } catch (error) {
    if (error instanceof NetlinkError) return { kind: "refused", errno: error.code };
    throw error;
  }
}

function readRoute(payload: Buffer): FoundRoute {
  const attributes = new Attributes(payload.subarray(ROUTE.size));
  const [gateway, source] = [attributes.raw(RTA.gateway), attributes.raw(RTA.source)];
  const mtu = attributes.nested(RTA.metrics)?.raw(RTAX_MTU);
  return {
    kind: kinds[payload.readUInt8(ROUTE.type)] ?? "none",
    link: attributes.raw(RTA.link)?.readUInt32LE(),
    gateway: gateway && decodeIP(gateway),
    source: source && decodeIP(source),
    mtu: mtu?.readUInt32LE(),
  };
}
