import { addressBits, decodeIP, encodeIP, familyOf } from "../../common/address.js";
import { mainTable, type InterfaceAddress, type Route } from "../../linux/netlink/rtnetlink/addresses.js";
import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import type { RoutingRule } from "../../linux/netlink/rtnetlink/rules.js";
import type { SeenSandbox } from "../seen.js";
import { firstTable, type WantedEndpoint, type WantedSandbox } from "../wanted.js";
import { missing } from "./network-plan.js";
import { isSameAddress, isSameRoute, isSameRule } from "./same.js";
import type { LinkRoute, Step } from "./steps.js";

/** Before the main table, whose rule has 32766. */
const rulePriority = 10_000;
/** Networks that are at hand count before any way out: only default routes go by where a packet comes from. */
const atHandPriority = rulePriority - 1;
const anywhere = { ipv4: { ip: "0.0.0.0", prefix: 0 }, ipv6: { ip: "::", prefix: 0 } } as const;

/**
 * What gives a sandbox's link what it is to have.
 * @param end undefined for one that is just made
 * @param alias of one that has no other end to tell whose it is
 */
export function planInside(
  endpoint: WantedEndpoint,
  sandbox: WantedSandbox,
  inside: SeenSandbox & { kind: "there" },
  end: Link | undefined,
  alias?: string,
): Step[] {
  const addresses = end ? (inside.addresses.get(end.index) ?? []) : [];
  const isOurs = (route: Route) => route.gateway !== undefined || (endpoint.routes && isMade(route, addresses));
  const ownRoutes = inside.routes.filter(({ link }) => link === end?.index);
  const routes = ownRoutes.filter(isOurs);
  const [wantedRoutes, rules] = [routesOf(endpoint), rulesOf(endpoint)];
  const remove = {
    addresses: addresses.filter((address) => !endpoint.addresses.some((wanted) => isSameAddress(address, wanted))),
    routes: routes.filter((route) => !wantedRoutes.some((wanted) => isSameRoute(wanted, route))),
    rules: inside.rules.filter(
      (rule) =>
        rule.priority === rulePriority &&
        endpoint.addresses.some(({ ip }) => ip === rule.source) &&
        !rules.some((wanted) => isSameRule(wanted, rule)),
    ),
  };
  // One that gets its name back is down for that, and loses routes and IPv6 addresses.
  const isRenamed = end !== undefined && end.name !== endpoint.ifname;
  const add = {
    addresses: isRenamed ? endpoint.addresses : missing(endpoint.addresses, addresses),
    routes: wantedRoutes.filter((wanted) => isRenamed || !ownRoutes.some((route) => isSameRoute(wanted, route))),
    rules: rules.filter((wanted) => !inside.rules.some((rule) => isSameRule(wanted, rule))),
  };
  const { mtu, mac } = endpoint;
  const isNamed = alias === undefined || end?.alias === alias;
  const hasMac = mac === undefined || end?.mac === mac;
  const hasMtu = mtu === 0 || end?.mtu === mtu;
  const isSet = end !== undefined && !isRenamed && isNamed && hasMac && end.isUp && hasMtu;
  const lacks = [...Object.values(remove), ...Object.values(add)].some((list) => list.length > 0);
  if (isSet && !lacks) return [];
  const set = { kind: "set-inside", endpoint, sandbox, end: end?.index, remove, add } as const;
  return [alias === undefined ? set : { ...set, alias }];
}

/** The default route, and where there are several ways out the same in a table of its own; before them what a server or a driver adds. */
function routesOf({ gateways, routes = [], isDefault, table, remote }: WantedEndpoint): LinkRoute[] {
  const further = routes.map((route) => ({ ...route, table: mainTable }));
  const added = remote?.routes.map(({ to, via }) => ({ destination: to, gateway: via, table: mainTable })) ?? [];
  const waysOut = gateways.flatMap((gateway) => {
    const family = familyOf(gateway);
    const route = (table: number): LinkRoute => ({ destination: anywhere[family], gateway, table });
    return [...(isDefault[family] ? [route(mainTable)] : []), ...(table === undefined ? [] : [route(table)])];
  });
  return [...further, ...added, ...waysOut]; // which may lead by those
}

/** Whether an IPv4 route right over a link was made by us: the kernel makes one itself to the subnet of each address. */
function isMade({ destination, table }: Route, addresses: readonly InterfaceAddress[]): boolean {
  if (familyOf(destination.ip) !== "ipv4" || table !== mainTable) return false;
  return !addresses.some(({ ip, prefix }) => prefix === destination.prefix && startOf(ip, prefix) === destination.ip);
}

function startOf(ip: string, prefix: number): string {
  const bytes = encodeIP(ip);
  const size = 2 ** (addressBits.ipv4 - prefix);
  if (bytes.length === 4) bytes.writeUInt32BE(Math.floor(bytes.readUInt32BE() / size) * size);
  return decodeIP(bytes);
}

/** Replies leave by the network they were asked on. */
export function rulesOf({ addresses, gateways, table }: WantedEndpoint): RoutingRule[] {
  if (table === undefined) return [];
  return gateways.flatMap((gateway) => {
    const family = familyOf(gateway);
    const own = addresses.filter(({ ip }) => familyOf(ip) === family);
    return [
      { family, source: undefined, table: mainTable, priority: atHandPriority, skipsDefault: true },
      ...own.map(({ ip }) => ({ family, source: ip, table, priority: rulePriority, skipsDefault: false })),
    ];
  });
}
/** Takes away what endpoints of a sandbox have left that a crash kept from being removed as a whole. @param endpoints of the sandbox */
export function planLeftRules(
  sandbox: WantedSandbox,
  endpoints: readonly WantedEndpoint[],
  inside: SeenSandbox,
): Step[] {
  if (inside.kind !== "there") return [];
  const isOurs = ({ priority, source, table }: RoutingRule) =>
    priority === rulePriority && source !== undefined && table >= firstTable;
  const isWanted = ({ source }: RoutingRule) =>
    endpoints.some(({ addresses }) => addresses.some(({ ip }) => ip === source));
  const rules = inside.rules.filter((rule) => isOurs(rule) && !isWanted(rule));
  return rules.length > 0 ? [{ kind: "remove-rules", sandbox, rules }] : [];
}
