import type { InterfaceAddress } from "../../linux/netlink/rtnetlink/addresses.js";
import { isSameAddress } from "./same.js";
import type { SeenHost } from "../seen.js";
import { aliasOf, type WantedNetwork } from "../wanted.js";
import type { Step } from "./steps.js";

/** What makes a network's bridge as it is wanted. */
export function planNetwork(network: WantedNetwork, host: SeenHost): Step[] {
  const { bridge, isAdopted } = network;
  const link = host.links.get(bridge);
  if (isAdopted) return []; // its life is its owner's
  const seen = link ? (host.addresses.get(link.index) ?? []) : [];
  const isSet =
    link !== undefined &&
    link.isUp &&
    link.mtu === network.mtu &&
    link.mac === network.mac &&
    link.alias === aliasOf.network(network);
  return [
    ...(link ? [] : [{ kind: "make-bridge", network } as const]),
    ...(isSet ? [] : [{ kind: "set-bridge", network } as const]),
    ...missing(network.addresses, seen).map((address) => ({ kind: "add-bridge-address", bridge, address }) as const),
  ];
}

/** What removes a network's bridge, if it is the network's. */
export function planNetworkRemoval(
  network: Pick<WantedNetwork, "id" | "bridge" | "isAdopted">,
  host: SeenHost,
): Step[] {
  const link = host.links.get(network.bridge);
  // One that is cut off between being made and being named has no alias yet.
  const isOurs = link?.kind === "bridge" && (link.alias === undefined || link.alias === aliasOf.network(network));
  return isOurs && !network.isAdopted ? [{ kind: "delete-link", link: network.bridge }] : [];
}

export function missing(wanted: readonly InterfaceAddress[], seen: readonly InterfaceAddress[]): InterfaceAddress[] {
  return wanted.filter((address) => !seen.some((other) => isSameAddress(address, other)));
}
