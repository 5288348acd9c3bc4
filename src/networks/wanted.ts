import { addressBits, familyOf, type Family } from "../../common/address.js";
import { Subnet } from "../../network/addresses/subnet.js";
import { macOf } from "../../network/addresses/mac.js";
import { QUIET_GROUP } from "../../network/firewall/wanted.js";
import { endpointAddresses, leasedRoutes } from "./endpoint-addresses.js";
import { firstTable, type WantedEndpoint, type WantedNetwork, type WantedSandbox } from "../../network/wanted.js";
import type { EndpointRecord, LanRecord, NetworkRecord, SandboxRecord } from "./records.js";

// What records mean for the kernel.

/** Where `ip netns` and pontoon keep namespaces with names. */
export const namespacePathOf = (name: string): string => `/run/netns/${name}`;

export function wantedNetwork(network: NetworkRecord): WantedNetwork {
  const { id, name, bridge, lan, isAdopted, subnets, mtu } = network;
  if (lan) return wantedOnLan(network, lan);
  return {
    id,
    name,
    bridge,
    isAdopted,
    addresses: subnets.map(({ subnet, gateway }) => ({ ip: gateway, prefix: Subnet.parse(subnet).prefix })),
    mac: macOf(subnets[0]?.gateway ?? "0.0.0.0"),
    mtu,
    hasIPv6: subnets.some(({ gateway }) => familyOf(gateway) === "ipv6"),
    firewall: network.firewall ? firewallOf(network) : undefined,
    ...(network.pair && { isPair: true }),
    ...(network.overlay && { overlay: network.overlay }),
    ...formerAddresses(subnets),
    ...(network.ndpProxy && { ndpProxy: network.ndpProxy }),
    ...(network.remote && { isRemote: true }),
  };
}

function formerAddresses(subnets: NetworkRecord["subnets"]): Pick<WantedNetwork, "former"> {
  const former = subnets.flatMap((subnet) => subnet.former ?? []).map((text) => text.split("/") as [string, string]);
  return former.length > 0 ? { former: former.map(([ip, prefix]) => ({ ip, prefix: Number(prefix) })) } : {};
}

function wantedOnLan({ id, name, bridge, subnets, mtu }: NetworkRecord, lan: LanRecord): WantedNetwork {
  const { child, parent, vlan, hostAddresses } = lan;
  const [first] = hostAddresses;
  return {
    id,
    name,
    bridge,
    lan: { child, parent, vlan, hasHostAccess: first !== undefined },
    isAdopted: false,
    // The way to the LAN stays the parent's: only single addresses are reached by this link.
    addresses: hostAddresses.map((ip) => ({ ip, prefix: addressBits[familyOf(ip)] })),
    mac: first !== undefined && hasOwnMac(lan) ? macOf(first) : undefined,
    mtu,
    hasIPv6: subnets.some(({ gateway }) => familyOf(gateway) === "ipv6"),
    firewall: undefined,
  };
}

/** Whether links on the parent have MAC addresses of their own. */
export function hasOwnMac({ child }: Pick<LanRecord, "child">): boolean {
  return child.kind === "macvlan" && child.mode !== "passthru";
}

/** The MAC address of an endpoint's link, as far as it is known. */
export function macOfEndpoint({ mac, remote }: Pick<EndpointRecord, "mac" | "remote">): string {
  return mac === "" ? (remote?.seenMac ?? "") : mac;
}

/** Whether the host has a link on the network, by which it reaches endpoints. */
export function isReachedByHost({ lan, pair }: Pick<NetworkRecord, "lan" | "pair">): boolean {
  return pair === undefined && lan?.hostAddresses.length !== 0;
}

export function wantedSandbox({ id, name, namespace, inode }: SandboxRecord): WantedSandbox {
  const only = namespace.kind === "adopted" ? namespace.inode : undefined;
  return {
    id,
    name,
    path: namespacePathOf(name),
    target: namespace.kind === "own" ? undefined : namespace.target,
    inode: namespace.kind === "own" ? undefined : (only ?? (inode === 0 ? undefined : inode)),
    isReplaceable: only === undefined,
    ...(namespace.kind === "joined" && { owner: namespace.sandbox }),
  };
}

function firewallOf(network: NetworkRecord): WantedNetwork["firewall"] {
  const { subnets, internal, icc, masquerade, snatAddresses, ndpProxy } = network;
  const [ipv4, ipv6] = (["ipv4", "ipv6"] as const).map((family) => snatAddresses.find((ip) => familyOf(ip) === family));
  return {
    subnets: subnets.map(({ subnet }) => subnet),
    internal,
    icc,
    masquerade,
    ...(ndpProxy && { reachedBy: ndpProxy.link }),
    snat: { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6 }) },
  };
}

/** All endpoints of one sandbox: which is its way out depends on the others. */
export function wantedEndpoints(
  endpoints: readonly EndpointRecord[],
  networkOf: (id: string) => NetworkRecord | undefined,
): WantedEndpoint[] {
  const ordered = endpoints.flatMap((endpoint) => {
    const network = networkOf(endpoint.network);
    if (!network || endpoint.cutOff !== undefined) return [];
    const addresses = endpointAddresses(endpoint, network);
    return [{ endpoint, network, addresses, gateways: addresses.flatMap(({ gateway }) => gateway ?? []) }];
  });
  // As libnetwork has it: the highest priority, then the network that comes first by name.
  ordered.sort(
    (a, b) => b.endpoint.gatewayPriority - a.endpoint.gatewayPriority || (a.network.name < b.network.name ? -1 : 1),
  );
  const waysOut = ordered.filter(({ gateways }) => gateways.length > 0);
  const first = (family: "ipv4" | "ipv6") =>
    waysOut.find(({ gateways }) => gateways.some((ip) => familyOf(ip) === family))?.endpoint.id;
  const [defaultIPv4, defaultIPv6] = [first("ipv4"), first("ipv6")];
  const routes = routesOnce(
    ordered.map(({ endpoint }) => endpoint),
    { ipv4: defaultIPv4 !== undefined, ipv6: defaultIPv6 !== undefined },
  );
  return ordered.map(({ endpoint, network, addresses, gateways }) => ({
    id: endpoint.id,
    network: network.id,
    sandbox: endpoint.sandbox,
    hostLink: endpoint.hostLink,
    ifname: endpoint.ifname,
    mac: endpoint.mac === "" ? undefined : endpoint.mac,
    mtu: mtuOf(endpoint, network),
    group: network.firewall && !network.icc ? QUIET_GROUP : 0,
    addresses: addresses.map(({ ip, prefix }) => ({ ip, prefix })),
    gateways,
    ...(network.lan?.dhcp && {
      routes: leasedRoutes(endpoint, network).map(({ destination, gateway }) => ({ destination, gateway })),
    }),
    isDefault: { ipv4: endpoint.id === defaultIPv4, ipv6: endpoint.id === defaultIPv6 },
    table: waysOut.length > 1 && gateways.length > 0 ? tableOf(endpoint) : undefined,
    ...(endpoint.bandwidth && { bandwidth: endpoint.bandwidth }),
    ...(endpoint.remote && { remote: { routes: routes.get(endpoint.id) ?? [] } }),
  }));
}

/** A server may say that less passes on its LAN. */
export function mtuOf({ ipv4, lease }: EndpointRecord, { mtu }: NetworkRecord): number {
  return ipv4 === undefined ? mtu : Math.min(mtu, lease?.mtu ?? mtu);
}

/**
 * A way to somewhere is there once in a sandbox: that of the first endpoint which has it. Drivers do not know of each other.
 * @param hasWayOut by a gateway, which counts before a link that is to lead anywhere without one
 */
function routesOnce(ordered: readonly EndpointRecord[], hasWayOut: Readonly<Record<Family, boolean>>) {
  const seen = new Set<string>();
  return new Map(
    ordered.map(({ id, remote }) => {
      const own = (remote?.routes ?? []).filter(({ to: { ip, prefix } }) => {
        const [key, isSeen] = [`${ip}/${prefix}`, seen.has(`${ip}/${prefix}`)];
        seen.add(key);
        return !isSeen && !(prefix === 0 && hasWayOut[familyOf(ip)]);
      });
      return [id, own] as const;
    }),
  );
}

/** The same for as long as the endpoint is there, and another for each link of the sandbox. */
function tableOf({ ifname, id }: EndpointRecord): number {
  const number = /^eth(\d{1,4})$/.exec(ifname)?.[1];
  return number === undefined ? 0x100000 + parseInt(id.slice(0, 6), 16) : firstTable + Number(number);
}
