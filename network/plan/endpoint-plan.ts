import { familyOf } from "../../common/address.js";
import { mainTable } from "../../linux/netlink/rtnetlink/addresses.js";
import type { Link } from "../../linux/netlink/rtnetlink/links.js";
import type { RoutingRule } from "../../linux/netlink/rtnetlink/rules.js";
import type { SeenHost, SeenSandbox } from "../seen.js";
import { aliasOf, type WantedEndpoint, type WantedNetwork, type WantedSandbox } from "../wanted.js";
import { missing } from "./network-plan.js";
import { isSameAddress, isSameRoute, isSameRule } from "./same.js";
import type { LinkRoute, Step } from "./steps.js";

/** Before the main table, whose rule has 32766. */
const rulePriority = 10_000;
/** Networks that are at hand count before any way out: only default routes go by where a packet comes from. */
const atHandPriority = rulePriority - 1;
const anywhere = { ipv4: { ip: "0.0.0.0", prefix: 0 }, ipv6: { ip: "::", prefix: 0 } } as const;

/** What makes an endpoint as it is wanted. Nothing, while its sandbox is not there. */
export function planEndpoint(
  endpoint: WantedEndpoint,
  network: WantedNetwork,
  sandbox: WantedSandbox,
  host: SeenHost,
  inside: SeenSandbox,
): Step[] {
  if (inside.kind !== "there") return [];
  const link = host.links.get(endpoint.hostLink);
  const end = link && endOf(link, inside.links);
  const isWhole = link !== undefined && end !== undefined;
  const bridge = host.links.get(network.bridge);
  const isAttached =
    isWhole &&
    link.isUp &&
    link.mtu === endpoint.mtu &&
    link.master === bridge?.index &&
    bridge !== undefined &&
    link.group === endpoint.group &&
    link.alias === aliasOf.endpoint(endpoint);
  return [
    // Its other end is in another namespace, or was moved: what is there cannot be mended.
    ...(link && !end ? [{ kind: "delete-link", link: endpoint.hostLink } as const] : []),
    ...(isWhole ? [] : [{ kind: "make-veth", endpoint, sandbox } as const]),
    ...planInside(endpoint, sandbox, inside, end),
    ...(isAttached ? [] : [{ kind: "attach", endpoint, bridge: network.bridge } as const]),
  ];
}

/** The two ends name each other by index; a veth made in another namespace may have an index that is there, too, so its name or MAC counts. */
function endOf(link: Link, inside: readonly Link[]): Link | undefined {
  return inside.find(({ kind, index, peer }) => kind === "veth" && index === link.peer && peer === link.index);
}

function planInside(
  endpoint: WantedEndpoint,
  sandbox: WantedSandbox,
  inside: SeenSandbox & { kind: "there" },
  end: Link | undefined,
): Step[] {
  const addresses = end ? (inside.addresses.get(end.index) ?? []) : [];
  const routes = inside.routes.filter(({ link, gateway }) => link === end?.index && gateway !== undefined);
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
    routes: wantedRoutes.filter((wanted) => isRenamed || !routes.some((route) => isSameRoute(wanted, route))),
    rules: rules.filter((wanted) => !inside.rules.some((rule) => isSameRule(wanted, rule))),
  };
  const isSet = end !== undefined && !isRenamed && end.isUp && end.mtu === endpoint.mtu && end.mac === endpoint.mac;
  const lacks = [...Object.values(remove), ...Object.values(add)].some((list) => list.length > 0);
  return isSet && !lacks ? [] : [{ kind: "set-inside", endpoint, sandbox, end: end?.index, remove, add }];
}

/** The default route, and where there are several ways out the same in a table of its own. */
function routesOf({ gateways, isDefault, table }: WantedEndpoint): LinkRoute[] {
  return gateways.flatMap((gateway) => {
    const family = familyOf(gateway);
    const route = (table: number): LinkRoute => ({ destination: anywhere[family], gateway, table });
    return [...(isDefault[family] ? [route(mainTable)] : []), ...(table === undefined ? [] : [route(table)])];
  });
}

/** Replies leave by the network they were asked on. */
function rulesOf({ addresses, gateways, table }: WantedEndpoint): RoutingRule[] {
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

/** What takes an endpoint away. */
export function planEndpointRemoval(
  endpoint: WantedEndpoint,
  sandbox: Pick<WantedSandbox, "path">,
  host: SeenHost,
  inside: SeenSandbox,
): Step[] {
  const link = host.links.get(endpoint.hostLink);
  if (!link) return [];
  const end = inside.kind === "there" ? endOf(link, inside.links) : undefined;
  return [
    {
      kind: "retire",
      index: link.index,
      inside:
        end && inside.kind === "there"
          ? {
              path: sandbox.path,
              inode: inside.inode,
              index: end.index,
              rules: rulesOf(endpoint).filter(({ source }) => source !== undefined),
            }
          : undefined,
    },
  ];
}
