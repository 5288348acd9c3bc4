import type { InterfaceAddress } from "../../linux/netlink/rtnetlink/addresses.js";
import { isSameAddress } from "./same.js";
import type { SeenHost } from "../seen.js";
import { aliasOf, type WantedNetwork } from "../wanted.js";
import type { Step } from "./steps.js";

/** What makes a network's bridge as it is wanted. */
export function planNetwork(network: WantedNetwork, host: SeenHost): Step[] {
  const { bridge, isAdopted, isEngines = false, lent = [] } = network;
  if (!isAdopted) return planHostLink(network, { kind: "make-bridge", network }, host);
  const link = host.links.get(bridge);
  if (!link) return []; // its life is its owner's
  const raise = isEngines && !link.isUp ? [{ kind: "raise-bridge", bridge } as const] : [];
  return [...raise, ...planAddresses(bridge, lent, host)];
}

/** What makes the host's own link on a network as it is wanted. @param make what makes it */
export function planHostLink(network: WantedNetwork, make: Step, host: SeenHost): Step[] {
  const { bridge, addresses, former = [] } = network;
  const seen = host.addresses.get(host.links.get(bridge)?.index ?? 0) ?? [];
  const isIn = (list: readonly InterfaceAddress[], address: InterfaceAddress) =>
    list.some((other) => isSameAddress(other, address));
  const left = former.filter((address) => isIn(seen, address) && !isIn(addresses, address));
  const link = host.links.get(bridge);
  const isSet =
    link !== undefined &&
    link.isUp &&
    link.mtu === network.mtu &&
    (network.mac === undefined || link.mac === network.mac) &&
    link.alias === aliasOf.network(network);
  return [
    ...(link ? [] : [make]),
    ...(isSet ? [] : [{ kind: "set-bridge", network } as const]),
    ...left.map((address) => ({ kind: "delete-bridge-address", bridge, address }) as const),
    ...planAddresses(bridge, addresses, host),
  ];
}

function planAddresses(bridge: string, wanted: readonly InterfaceAddress[], host: SeenHost): Step[] {
  const link = host.links.get(bridge);
  const seen = link ? (host.addresses.get(link.index) ?? []) : [];
  return missing(wanted, seen).map((address) => ({ kind: "add-bridge-address", bridge, address }) as const);
}

/** What removes a network's bridge, if it is the network's. */
export function planNetworkRemoval(
  network: Pick<WantedNetwork, "id" | "bridge" | "isAdopted" | "isEngines" | "lent">,
  host: SeenHost,
): Step[] {
  const { bridge, isAdopted, lent = [] } = network;
  const link = host.links.get(bridge);
  if (isAdopted) {
    const seen = link ? (host.addresses.get(link.index) ?? []) : [];
    const left = lent.filter((address) => seen.some((other) => isSameAddress(other, address)));
    return left.map((address) => ({ kind: "delete-bridge-address", bridge, address }));
  }
  // One that is cut off between being made and being named has no alias yet.
  const isOurs = link?.kind === "bridge" && (link.alias === undefined || link.alias === aliasOf.network(network));
  return isOurs ? [{ kind: "delete-link", link: bridge }] : [];
}

export function missing(wanted: readonly InterfaceAddress[], seen: readonly InterfaceAddress[]): InterfaceAddress[] {
  return wanted.filter((address) => !seen.some((other) => isSameAddress(address, other)));
}
