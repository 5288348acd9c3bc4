import { addressBits, familyOf } from "../../common/address.js";
import { mainTable } from "../../linux/netlink/rtnetlink/addresses.js";
import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import type { SeenHost, SeenSandbox } from "../seen.js";
import { aliasOf, type WantedEndpoint, type WantedHandover, type WantedLan, type WantedNetwork } from "../wanted.js";
import type { WantedSandbox } from "../wanted.js";
import { planInside } from "./inside-plan.js";
import { planHostLink } from "./network-plan.js";
import type { Step } from "./steps.js";

type LanNetwork = WantedNetwork & { readonly lan: WantedLan };

/** What the host has of a network on a LAN. @param ips of all endpoints on it */
export function planLan(network: LanNetwork, ips: readonly string[], host: SeenHost): Step[] {
  const { bridge: link, lan } = network;
  const { parent, vlan, hasHostAccess } = lan;
  const makeVlan = vlan && !host.links.has(parent) ? [{ kind: "make-vlan", parent, ...vlan } as const] : [];
  if (!hasHostAccess) return makeVlan;
  const strays = routedTo(link, host).filter((ip) => !ips.includes(ip));
  return [
    ...makeVlan,
    ...planHostLink(network, { kind: "make-access", network, lan }, host),
    ...strays.map((ip) => ({ kind: "delete-host-route", link, ip }) as const),
  ];
}

/** What takes it away. A VLAN goes with the last network on it. @param others networks that stay */
export function planLanRemoval(network: LanNetwork, others: Iterable<WantedNetwork>, host: SeenHost): Step[] {
  const { bridge, lan } = network;
  const [access, parent] = [host.links.get(bridge), host.links.get(lan.parent)];
  const isShared = [...others].some((other) => other.lan?.parent === lan.parent);
  // One that is cut off between being made and being named has no alias yet.
  const isOurs = (link: Link | undefined, alias: string) =>
    link !== undefined && (link.alias === undefined || link.alias === alias);
  return [
    ...(lan.hasHostAccess && isOurs(access, aliasOf.network(network))
      ? [{ kind: "delete-link", link: bridge } as const]
      : []),
    ...(lan.vlan && !isShared && parent?.kind === "vlan" && isOurs(parent, aliasOf.vlan(lan.parent))
      ? [{ kind: "delete-link", link: lan.parent } as const]
      : []),
  ];
}

/** What makes a sandbox's link on a parent. Nothing, while its sandbox is not there. */
export function planLanEndpoint(
  endpoint: WantedEndpoint,
  { bridge, lan }: LanNetwork,
  sandbox: WantedSandbox,
  host: SeenHost,
  inside: SeenSandbox,
): Step[] {
  if (inside.kind !== "there") return [];
  const end = childOf(endpoint, lan, sandbox, inside.links);
  return [
    ...(end ? [] : [{ kind: "make-child", endpoint, sandbox, lan } as const]),
    ...planInside(endpoint, sandbox, inside, end, aliasOf.inside(endpoint)),
    ...planHostRoutes(
      bridge,
      lan,
      endpoint.addresses.map(({ ip }) => ip),
      host,
    ),
  ];
}

/** What makes a link on a parent for an engine to take. @param isTaken whether it has done so: the link is in the container */
export function planLanHandover(
  handover: WantedHandover,
  { bridge, lan }: LanNetwork,
  host: SeenHost,
  isTaken: boolean,
): Step[] {
  const isThere = isTaken || host.links.get(handover.peer)?.alias === aliasOf.handed(handover);
  const isInTheWay = !isThere && host.links.has(handover.peer);
  return [
    ...(isInTheWay ? [{ kind: "delete-link", link: handover.peer } as const] : []),
    ...(isThere ? [] : [{ kind: "make-handover-child", handover, lan } as const]),
    ...planHostRoutes(bridge, lan, handover.ips, host),
  ];
}

/** The host reaches an endpoint by its own link on the parent. */
function planHostRoutes(link: string, { hasHostAccess }: WantedLan, ips: readonly string[], host: SeenHost): Step[] {
  if (!hasHostAccess) return [];
  const there = routedTo(link, host);
  return ips.filter((ip) => !there.includes(ip)).map((ip) => ({ kind: "add-host-route", link, ip }) as const);
}

/** The host does not reach these any more. @param network undefined where it is gone, and its link with it */
export function planHostRouteRemoval(
  network: WantedNetwork | undefined,
  ips: readonly string[],
  host: SeenHost,
): Step[] {
  if (network?.lan?.hasHostAccess !== true) return [];
  const there = routedTo(network.bridge, host);
  return ips
    .filter((ip) => there.includes(ip))
    .map((ip) => ({ kind: "delete-host-route", link: network.bridge, ip }) as const);
}

/** Single addresses to which routes lead over a link of the host. */
function routedTo(name: string, { links, routes }: SeenHost): string[] {
  const index = links.get(name)?.index;
  return routes
    .filter(({ link, gateway, table }) => link === index && gateway === undefined && table === mainTable)
    .filter(({ destination: { ip, prefix } }) => prefix === addressBits[familyOf(ip)])
    .map(({ destination }) => destination.ip);
}

/** Its link in the sandbox: a link tells whose it is, but for one that was cut off just when it was made. */
function childOf(
  endpoint: WantedEndpoint,
  { child }: WantedLan,
  { target }: WantedSandbox,
  links: readonly Link[],
): Link | undefined {
  const isCutOff = ({ alias, kind, name }: Link) =>
    target === undefined && alias === undefined && kind === child.kind && name === endpoint.ifname;
  return namedChild(aliasOf.inside(endpoint), links) ?? links.find(isCutOff);
}

/** The link that says whose it is by `alias`: one without an end on the host. */
export function namedChild(alias: string, links: readonly Link[]): Link | undefined {
  return links.find((link) => link.alias === alias);
}

/** Removes links of a sandbox's without an end on the host that nobody wants any more, as after a crash. @param endpoints of the sandbox */
export function planLeftChildren(
  { path }: WantedSandbox,
  endpoints: readonly WantedEndpoint[],
  inside: SeenSandbox,
): Step[] {
  if (inside.kind !== "there") return [];
  const wanted = new Set(endpoints.map((endpoint) => aliasOf.inside(endpoint)));
  const isLeft = ({ alias = "" }: Link) => alias.startsWith(aliasOf.inside({ id: "" })) && !wanted.has(alias);
  return inside.links.filter(isLeft).map(({ index }) => ({
    kind: "delete-inside",
    inside: { path, inode: inside.inode, index, rules: [] },
  }));
}

export function isLan(network: WantedNetwork): network is LanNetwork {
  return network.lan !== undefined;
}
