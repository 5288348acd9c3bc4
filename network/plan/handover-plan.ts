import type { SeenHost } from "../seen.js";
import { aliasOf, retiredGroup, type WantedHandover, type WantedNetwork } from "../wanted.js";
import { planAttachment, planLinkRemoval } from "./endpoint-plan.js";
import { planBandwidth, planShaperRemoval } from "./bandwidth-plan.js";
import { isLan, planHostRouteRemoval, planLanHandover } from "./lan-plan.js";
import type { RetiredEnd, Step } from "./steps.js";

/**
 * What makes a pair for an engine to take. One that is there is not made anew: its other end may be in use.
 * @param isTaken as {@link planLanHandover} has it
 */
export function planHandover(
  handover: WantedHandover,
  network: WantedNetwork,
  host: SeenHost,
  isTaken: boolean,
): Step[] {
  if (isLan(network)) return planLanHandover(handover, network, host, isTaken);
  const { hostLink, mtu, group } = handover;
  const link = host.links.get(hostLink);
  const isUsable = link !== undefined && link.group !== retiredGroup;
  const port = { hostLink, mtu, group, alias: aliasOf.handover(handover) };
  return [
    ...(link && !isUsable ? [{ kind: "delete-link", link: hostLink } as const] : []),
    ...(isUsable ? [] : [{ kind: "make-handover", handover } as const]),
    ...planBandwidth(handover, aliasOf.engineShaper(handover), isUsable ? link : undefined, host),
    ...planAttachment(port, network, isUsable ? link : undefined, host),
  ];
}

/**
 * @param network undefined where that is gone, too
 * @param end the other end, or the link on a parent, where the engine has put it; undefined where it is not to be found
 */
export function planHandoverRemoval(
  handover: WantedHandover,
  network: WantedNetwork | undefined,
  host: SeenHost,
  end: RetiredEnd | undefined,
): Step[] {
  const { hostLink, peer, ips } = handover;
  const left = host.links.get(peer);
  // Docker puts it back where it has taken it from.
  const isLeft = left?.alias === aliasOf.handed(handover);
  return [
    ...planHostRouteRemoval(network, ips, host),
    ...(isLeft ? [{ kind: "delete-link", link: peer } as const] : planLinkRemoval(host.links.get(hostLink), end)),
    ...planShaperRemoval(handover, aliasOf.engineShaper(handover), host),
  ];
}
