import { interfaceName, ipv4, ipv6, protocol, service, vni } from "../../linux/netlink/nftables/data-types.js";
import type { NewSet, TableName } from "../../linux/netlink/nftables/transaction.js";

// The sets and maps that grow with networks, ports and links; the rules (rules.ts) do not.

export const inetTable = { family: "inet", table: "pontoon" } as const satisfies TableName;
/** Where frames between two ports of one bridge pass. */
export const bridgeTable = { family: "bridge", table: "pontoon" } as const satisfies TableName;

const intervals = { flags: ["interval"] } as const;
const linked4 = { key: [ipv4, ipv4, protocol, service], comment: "from, to: ports of links where icc is off" } as const;
const linked6 = { key: [ipv6, ipv6, protocol, service], comment: "from, to: ports of links where icc is off" } as const;

type SetShape = Omit<NewSet, "family" | "table" | "set">;

const inetShapes = {
  bridges: { key: [interfaceName], comment: "bridges of pontoon's networks" },
  internal: { key: [interfaceName], comment: "bridges of internal networks" },
  proxied: { key: [interfaceName], comment: "bridges from which published ports are served by the proxy" },
  icc: { key: [interfaceName, interfaceName], comment: "from a bridge of ours to itself" },
  quiet: { key: [interfaceName, interfaceName], comment: "from a bridge of ours to itself where icc is off" },
  others: { key: [interfaceName], comment: "bridges of Docker's" },
  within: { key: [interfaceName, interfaceName], comment: "from a bridge to itself" },
  reached: { key: [interfaceName, interfaceName], comment: "links by which networks are reached over IPv6" },
  masqueraded4: { key: [ipv4], ...intervals, comment: "subnets that leave with an address of the host" },
  masqueraded6: { key: [ipv6], ...intervals, comment: "subnets that leave with an address of the host" },
  snat4: { key: [ipv4], data: [ipv4], ...intervals, comment: "subnets that leave with a given address" },
  snat6: { key: [ipv6], data: [ipv6], ...intervals, comment: "subnets that leave with a given address" },
  published4: { key: [protocol, service], data: [ipv4, service], comment: "ports at any address of the host" },
  published6: { key: [protocol, service], data: [ipv6, service], comment: "ports at any address of the host" },
  published_at4: { key: [ipv4, protocol, service], data: [ipv4, service], comment: "ports at one address of the host" },
  published_at6: { key: [ipv6, protocol, service], data: [ipv6, service], comment: "ports at one address of the host" },
  limited4: { key: [protocol, service], comment: "those of published4 that have a list of sources" },
  limited6: { key: [protocol, service], comment: "those of published6 that have a list of sources" },
  limited_at4: { key: [ipv4, protocol, service], comment: "those of published_at4 that have a list of sources" },
  limited_at6: { key: [ipv6, protocol, service], comment: "those of published_at6 that have a list of sources" },
  allowed4: { key: [protocol, service, ipv4], ...intervals, comment: "sources" },
  allowed6: { key: [protocol, service, ipv6], ...intervals, comment: "sources" },
  allowed_at4: { key: [ipv4, protocol, service, ipv4], ...intervals, comment: "sources" },
  allowed_at6: { key: [ipv6, protocol, service, ipv6], ...intervals, comment: "sources" },
  linked4,
  linked6,
  overlays: { key: [service, vni], comment: "overlay networks: port and number" },
  members4: { key: [ipv4, service, vni], comment: "other hosts, and what overlay networks they are on" },
  members6: { key: [ipv6, service, vni], comment: "other hosts, and what overlay networks they are on" },
  tunneled6: { key: [ipv6, service, vni], comment: "the same of encrypted networks, in the tunnel" },
  tunnels: { key: [interfaceName], comment: "links by which packets of encrypted networks come" },
  tunnel_ports: { key: [service], comment: "where packets of tunnels come in" },
  hosts4: { key: [ipv4], comment: "other hosts of tunnels" },
  hosts6: { key: [ipv6], comment: "other hosts of tunnels" },
} as const satisfies Record<string, SetShape>;

/** Sets of the bridge's table, which has the same links: what is bridged and what is routed back to its bridge meet different tables. */
const bridgeShapes = { linked4, linked6 } as const satisfies Record<string, SetShape>;

/** A set, by its table's family and its name. */
export type SetId = `inet ${keyof typeof inetShapes}` | `bridge ${keyof typeof bridgeShapes}`;

function setsOf(table: TableName, shapes: Record<string, SetShape>): (readonly [SetId, NewSet])[] {
  return Object.entries(shapes).map(([set, shape]) => [`${table.family} ${set}` as SetId, { ...table, set, ...shape }]);
}

/** How each set is made. */
export const sets: ReadonlyMap<SetId, NewSet> = new Map([
  ...setsOf(inetTable, inetShapes),
  ...setsOf(bridgeTable, bridgeShapes),
]);
