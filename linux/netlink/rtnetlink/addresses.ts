import { formatAddress, formatAddressAttrs, formatRoute, formatRouteAttrs } from "netlink/dist/rt/gen_structs.js";
import { decodeIPv4, decodeIPv6, encodeIPv4, encodeIPv6, familyOf, isUnspecified } from "../../../common/address.js";
import { AF_INET, AF_INET6, AF_UNSPEC } from "../../constants.js";
import { Attributes } from "../attributes.js";
import type { InterfaceAddress } from "./address-list.js";
import { bytesOf } from "./encode.js";
import { MAKE, type Rtnetlink, type RtRequest } from "./rtnetlink.js";

// Addresses of links, and routes.

export { addressesOf, type InterfaceAddress, type LinkAddress } from "./address-list.js";

const RTM = {
  newAddress: 20,
  deleteAddress: 21,
  newRoute: 24,
  deleteRoute: 25,
  getRoute: 26,
} as const;
/** `struct rtmsg`. */
const ROUTE = { size: 12, family: 0, prefix: 1, table: 4, protocol: 5, type: 7 } as const;
const RTA = { destination: 1, link: 4, gateway: 5, table: 15 } as const;
const SCOPE_UNIVERSE = 0;
const SCOPE_LINK = 253;
const TABLE_MAIN = 254;
const TYPE_UNICAST = 1;
/** Of routes an administrator made (`RTPROT_BOOT`, as `ip route add` does). */
const PROTOCOL_BOOT = 3;

/** @param link index of the link */
export function addAddress(link: number, { ip, prefix }: InterfaceAddress): RtRequest {
  return address(RTM.newAddress, MAKE.orReplace, link, { ip, prefix }, `add address ${ip}/${prefix}`);
}

export function deleteAddress(link: number, { ip, prefix }: InterfaceAddress): RtRequest {
  return address(RTM.deleteAddress, 0, link, { ip, prefix }, `delete address ${ip}/${prefix}`);
}

function address(type: number, flags: number, index: number, { ip, prefix }: InterfaceAddress, subject: string) {
  const raw = encodeAddress(ip);
  const isV6 = familyOf(ip) === "ipv6";
  const header = { family: numberOf(ip), prefixlen: prefix, index, flags: isV6 ? ({ nodad: true } as const) : {} };
  return {
    type,
    flags,
    body: bytesOf(formatAddress(header), formatAddressAttrs({ local: raw, address: raw })),
    subject,
  };
}

/** A way to a network: through a gateway, or right over the link. */
export interface Route {
  /** `0.0.0.0` and 0 for the default route. */
  readonly destination: InterfaceAddress;
  readonly gateway: string | undefined;
  /** Index of the link; undefined for routes of other kinds. */
  readonly link: number | undefined;
  /** The main one, 254, unless it says otherwise. */
  readonly table: number;
}

export function addRoute(route: Route): RtRequest {
  return routeRequest(RTM.newRoute, MAKE.orReplace, route, `add route ${words(route)}`);
}

export function deleteRoute(route: Route): RtRequest {
  return routeRequest(RTM.deleteRoute, 0, route, `delete route ${words(route)}`);
}

function routeRequest(type: number, flags: number, route: Route, subject: string): RtRequest {
  const { destination, gateway, link, table } = route;
  const header = {
    family: numberOf(destination.ip),
    dstLen: destination.prefix,
    table: table < 256 ? table : 0,
    protocol: PROTOCOL_BOOT,
    scope: gateway === undefined ? SCOPE_LINK : SCOPE_UNIVERSE,
    type: TYPE_UNICAST,
  };
  const attributes = {
    ...(!isUnspecified(destination.ip) && { dst: encodeAddress(destination.ip) }),
    ...(gateway !== undefined && { gateway: encodeAddress(gateway) }),
    ...(link !== undefined && { oif: link }),
    table,
  };
  return { type, flags, body: bytesOf(formatRoute(header), formatRouteAttrs(attributes)), subject };
}

/** Unicast routes of the namespace, of every table. Throws {@link NetlinkError}. */
export function routesOf(rtnetlink: Rtnetlink): Route[] {
  const body = bytesOf(formatRoute({ family: AF_UNSPEC }));
  return rtnetlink.list({ type: RTM.getRoute, flags: 0, body, subject: "list routes" }, (payload) => {
    if (payload.readUInt8(ROUTE.type) !== TYPE_UNICAST) return undefined;
    const family = payload.readUInt8(ROUTE.family);
    const attributes = new Attributes(payload.subarray(ROUTE.size));
    const destination = attributes.raw(RTA.destination);
    const gateway = attributes.raw(RTA.gateway);
    return {
      destination: {
        ip: destination ? decodeAddress(destination) : family === AF_INET6 ? "::" : "0.0.0.0",
        prefix: payload.readUInt8(ROUTE.prefix),
      },
      gateway: gateway && decodeAddress(gateway),
      link: attributes.raw(RTA.link)?.readUInt32LE(),
      table: attributes.raw(RTA.table)?.readUInt32LE() ?? payload.readUInt8(ROUTE.table),
    };
  });
}

export const mainTable = TABLE_MAIN;

function numberOf(ip: string): number {
  return familyOf(ip) === "ipv6" ? AF_INET6 : AF_INET;
}

function words({ destination, gateway }: Route): string {
  const to = destination.prefix === 0 ? "default" : `${destination.ip}/${destination.prefix}`;
  return gateway === undefined ? to : `${to} via ${gateway}`;
}

function encodeAddress(ip: string): Buffer {
  return familyOf(ip) === "ipv6" ? encodeIPv6(ip) : encodeIPv4(ip);
}

function decodeAddress(raw: Buffer): string {
  return raw.length === 4 ? decodeIPv4(raw, 0) : decodeIPv6(raw, 0);
}
