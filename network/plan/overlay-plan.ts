import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import type { SeenHost } from "../seen.js";
import { aliasOf, overlayGroup, tunnelLink, type WantedNetwork, type WantedOverlay } from "../wanted.js";
import type { Step } from "./steps.js";

// The link by which the bridge of an overlay network leads to other hosts.

/** What makes it as it is wanted, once the bridge is there. */
export function planOverlay(network: WantedNetwork, host: SeenHost): Step[] {
  const { overlay } = network;
  if (!overlay) return [];
  const make: Step = { kind: "make-vxlan", network, overlay };
  const set: Step = { kind: "set-vxlan", network, overlay };
  const link = host.links.get(overlay.link);
  if (!link || !isOurs(link, network)) return [make, set]; // where somebody else's has the name, making it tells
  if (!isSame(link, overlay, host)) return [{ kind: "delete-link", link: overlay.link }, make, set];
  return isSet(link, network, host) ? [] : [set];
}

/** What removes it, if it is the network's. */
export function planOverlayRemoval(
  network: Pick<WantedNetwork, "id" | "isEngines" | "overlay">,
  host: SeenHost,
): Step[] {
  const link = host.links.get(network.overlay?.link ?? "");
  return link && isOurs(link, network) ? [{ kind: "delete-link", link: link.name }] : [];
}

/** One that is cut off between being made and being named has no alias yet. */
function isOurs({ kind, alias }: Link, network: Pick<WantedNetwork, "id" | "isEngines">): boolean {
  return kind === "vxlan" && (alias === undefined || alias === aliasOf.overlay(network));
}

function isSame({ vxlan }: Link, { vni, local, port, isEncrypted }: WantedOverlay, host: SeenHost): boolean {
  // Where there is no tunnel, one that was bound to it is gone with it.
  const by = isEncrypted ? (host.links.get(tunnelLink)?.index ?? -1) : undefined;
  return vxlan?.vni === vni && vxlan.local === local && vxlan.port === port && vxlan.by === by;
}

function isSet(link: Link, network: WantedNetwork, host: SeenHost): boolean {
  const bridge = host.links.get(network.bridge);
  return (
    link.isUp &&
    link.alias === aliasOf.overlay(network) &&
    link.mtu === network.mtu &&
    link.group === overlayGroup(network) &&
    link.isQuietPort === true &&
    bridge !== undefined &&
    link.master === bridge.index
  );
}
