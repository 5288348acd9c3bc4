import { familyOf } from "../../common/address.js";
import type { Inventory } from "../inventory/inventory.js";
import { addressIn, defaultAddresses, isWithin, unpublishable } from "../inventory/targets.js";
import type { Way } from "./entry.js";
import type { PublishedPort } from "./published-port.js";

/** Where a published port leads now, or why it does not. @param userlandProxy whether dockerd has one */
export function wayOf(
  inventory: Inventory,
  { container: name, ip, containerPort, byDefault, endpoint }: PublishedPort,
  userlandProxy: boolean,
): Way {
  if (endpoint) {
    // As docker-proxy has it: from IPv6 to IPv4, where the container has no other.
    const to = endpoint[familyOf(ip)] ?? endpoint.ipv4 ?? endpoint.ipv6;
    return { target: to === undefined ? undefined : { ip: to, port: containerPort }, refusal: undefined };
  }
  const container = inventory.named(name);
  if (!container) return { target: undefined, refusal: undefined };
  const none = (refusal: string | undefined) => ({ target: undefined, refusal });
  if (byDefault === true) {
    // Nobody is let in by an address that Docker would not bind, not even until another is bound.
    const { ips, reason } = defaultAddresses(inventory, container, {
      hasIPv6: true,
      userlandProxy,
    });
    if (!isWithin(ip, ips))
      return none(reason ?? `Docker would publish it at ${ips.join(" and ")}, where it is about to be`);
  }
  const address = addressIn(inventory, container, familyOf(ip));
  return address === undefined
    ? none(unpublishable(inventory, container))
    : { target: { ip: address, port: containerPort }, refusal: undefined };
}
