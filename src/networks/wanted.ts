import { familyOf } from "../../common/address.js";
import { Subnet } from "../../network/addresses/subnet.js";
import { macOf } from "../../network/addresses/mac.js";
import { QUIET_GROUP } from "../../network/firewall/wanted.js";
import { firstTable, type WantedEndpoint, type WantedNetwork, type WantedSandbox } from "../../network/wanted.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";

// What records mean for the kernel.

/** Where `ip netns` and pontoon keep namespaces with names. */
export const namespacePathOf = (name: string): string => `/run/netns/${name}`;

export function wantedNetwork(network: NetworkRecord): WantedNetwork {
  const { id, name, bridge, isAdopted, subnets, mtu } = network;
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
  };
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
  const { subnets, internal, icc, masquerade, snatAddresses } = network;
  const [ipv4, ipv6] = (["ipv4", "ipv6"] as const).map((family) => snatAddresses.find((ip) => familyOf(ip) === family));
  return {
    subnets: subnets.map(({ subnet }) => subnet),
    internal,
    icc,
    masquerade,
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
    return network ? [{ endpoint, network, gateways: gatewaysOf(endpoint, network) }] : [];
  });
  // As libnetwork has it: the highest priority, then the network that comes first by name.
  ordered.sort(
    (a, b) => b.endpoint.gatewayPriority - a.endpoint.gatewayPriority || (a.network.name < b.network.name ? -1 : 1),
  );
  const waysOut = ordered.filter(({ gateways }) => gateways.length > 0);
  const first = (family: "ipv4" | "ipv6") =>
    waysOut.find(({ gateways }) => gateways.some((ip) => familyOf(ip) === family))?.endpoint.id;
  const [defaultIPv4, defaultIPv6] = [first("ipv4"), first("ipv6")];
  return ordered.map(({ endpoint, network, gateways }) => ({
    id: endpoint.id,
    network: network.id,
    sandbox: endpoint.sandbox,
    hostLink: endpoint.hostLink,
    ifname: endpoint.ifname,
    mac: endpoint.mac,
    mtu: network.mtu,
    group: network.firewall && !network.icc ? QUIET_GROUP : 0,
    addresses: addressesOf(endpoint, network),
    gateways,
    isDefault: { ipv4: endpoint.id === defaultIPv4, ipv6: endpoint.id === defaultIPv6 },
    table: waysOut.length > 1 && gateways.length > 0 ? tableOf(endpoint) : undefined,
  }));
}

/** The same for as long as the endpoint is there, and another for each link of the sandbox. */
function tableOf({ ifname, id }: EndpointRecord): number {
  const number = /^eth(\d{1,4})$/.exec(ifname)?.[1];
  return number === undefined ? 0x100000 + parseInt(id.slice(0, 6), 16) : firstTable + Number(number);
}

function gatewaysOf({ ipv4, ipv6 }: EndpointRecord, { internal, subnets }: NetworkRecord): string[] {
  if (internal) return [];
  return [ipv4, ipv6].flatMap((ip) => {
    const own = ip === undefined ? undefined : subnets.find(({ subnet }) => Subnet.parse(subnet).contains(ip));
    return own ? [own.gateway] : [];
  });
}

function addressesOf({ ipv4, ipv6 }: EndpointRecord, { subnets }: NetworkRecord): { ip: string; prefix: number }[] {
  return [ipv4, ipv6].flatMap((ip) => {
    const own = ip === undefined ? undefined : subnets.find(({ subnet }) => Subnet.parse(subnet).contains(ip));
    return ip === undefined || !own ? [] : [{ ip, prefix: Subnet.parse(own.subnet).prefix }];
  });
}
