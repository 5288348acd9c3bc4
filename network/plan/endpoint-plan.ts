import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import type { SeenHost, SeenSandbox } from "../seen.js";
import { aliasOf, type WantedEndpoint, type WantedNetwork, type WantedSandbox } from "../wanted.js";
import { planBandwidth, planShaperRemoval } from "./bandwidth-plan.js";
import { planInside, rulesOf } from "./inside-plan.js";
import { isLan, namedChild, planHostRouteRemoval, planLanEndpoint } from "./lan-plan.js";
import { planNdpProxies, planNdpProxyRemoval } from "./ndp-plan.js";
import { planRemoteEndpoint, planRemoteRemoval } from "./remote-plan.js";
import type { BridgePort, RetiredEnd, Step } from "./steps.js";

/** What makes an endpoint as it is wanted. Nothing, while its sandbox is not there. */
export function planEndpoint(
  endpoint: WantedEndpoint,
  network: WantedNetwork,
  sandbox: WantedSandbox,
  host: SeenHost,
  inside: SeenSandbox,
): Step[] {
  if (inside.kind !== "there") return [];
  if (endpoint.remote) return planRemoteEndpoint(endpoint, sandbox, inside);
  if (isLan(network)) return planLanEndpoint(endpoint, network, sandbox, host, inside);
  const link = host.links.get(endpoint.hostLink);
  const end = link && endOf(link, inside.links);
  const isWhole = link !== undefined && end !== undefined;
  const port = { ...portOf(endpoint), alias: aliasOf.endpoint(endpoint) };
  return [
    // Its other end is in another namespace, or was moved: what is there cannot be mended.
    ...(link && !end ? [{ kind: "delete-link", link: endpoint.hostLink } as const] : []),
    ...(isWhole ? [] : [{ kind: "make-veth", endpoint, sandbox } as const]),
    ...planInside(endpoint, sandbox, inside, end),
    ...planBandwidth(endpoint, aliasOf.shaper(endpoint), isWhole ? link : undefined, host),
    ...planAttachment(port, network, isWhole ? link : undefined, host),
    ...planNdpProxies(network, ipsOf(endpoint), host),
  ];
}

/** What makes the host's end a port of its bridge. @param link undefined for one that is just made */
export function planAttachment(
  port: BridgePort,
  { bridge: name }: Pick<WantedNetwork, "bridge">,
  link: Link | undefined,
  host: SeenHost,
): Step[] {
  const bridge = host.links.get(name);
  const isAttached =
    link !== undefined &&
    bridge !== undefined &&
    link.isUp &&
    link.mtu === port.mtu &&
    link.master === bridge.index &&
    link.group === port.group &&
    link.alias === port.alias;
  return isAttached ? [] : [{ kind: "attach", port, bridge: name }];
}

const ipsOf = ({ addresses }: WantedEndpoint): string[] => addresses.map(({ ip }) => ip);
const portOf = ({ hostLink, mtu, group }: WantedEndpoint): Omit<BridgePort, "alias"> => ({ hostLink, mtu, group });

/** The two ends name each other by index; a veth made in another namespace may have an index that is there, too, so its name or MAC counts. */
export function endOf(link: Link, inside: readonly Link[]): Link | undefined {
  return inside.find(({ kind, index, peer }) => kind === "veth" && index === link.peer && peer === link.index);
}
/** What takes an endpoint away. @param network undefined where that is gone, too */
export function planEndpointRemoval(
  endpoint: WantedEndpoint,
  network: WantedNetwork | undefined,
  sandbox: Pick<WantedSandbox, "path">,
  host: SeenHost,
  inside: SeenSandbox,
): Step[] {
  if (endpoint.remote) return planRemoteRemoval(endpoint, sandbox, inside);
  const link = host.links.get(endpoint.hostLink);
  const links = inside.kind === "there" ? inside.links : [];
  const end = link ? endOf(link, links) : namedChild(aliasOf.inside(endpoint), links);
  const retired = end && inside.kind === "there" ? retiredEnd(endpoint, sandbox, inside.inode, end) : undefined;
  const ips = ipsOf(endpoint);
  return [
    ...planHostRouteRemoval(network, ips, host),
    ...planNdpProxyRemoval(network, ips, host),
    ...planLinkRemoval(link, retired),
    ...planShaperRemoval(endpoint, aliasOf.shaper(endpoint), host),
  ];
}

function retiredEnd(
  endpoint: WantedEndpoint,
  { path }: Pick<WantedSandbox, "path">,
  inode: number,
  { index }: Link,
): RetiredEnd {
  return { path, inode, index, rules: rulesOf(endpoint).filter(({ source }) => source !== undefined) };
}

/** @param link the host's end, where there is one @param inside the other end, or a link without one */
export function planLinkRemoval(link: Link | undefined, inside: RetiredEnd | undefined): Step[] {
  if (link) return [{ kind: "retire", index: link.index, inside }];
  return inside ? [{ kind: "delete-inside", inside }] : [];
}
