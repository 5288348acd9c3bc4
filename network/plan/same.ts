import type { InterfaceAddress, Route } from "../../linux/netlink/rtnetlink/addresses.js";
import type { RoutingRule } from "../../linux/netlink/rtnetlink/rules.js";
import type { LinkRoute } from "./steps.js";

export function isSameAddress(one: InterfaceAddress, other: InterfaceAddress): boolean {
  return one.ip === other.ip && one.prefix === other.prefix;
}

/** Whether two routes lead the same way, by whichever link. */
export function isSameRoute(one: LinkRoute, other: LinkRoute | Route): boolean {
  return (
    isSameAddress(one.destination, other.destination) && one.gateway === other.gateway && one.table === other.table
  );
}

export function isSameRule(one: RoutingRule, other: RoutingRule): boolean {
  return (
    one.family === other.family &&
    one.source === other.source &&
    one.table === other.table &&
    one.priority === other.priority &&
    one.skipsDefault === other.skipsDefault
  );
}
