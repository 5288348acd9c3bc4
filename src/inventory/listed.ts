// What a network's own list tells of containers that have not been looked at themselves.
import type { Container, Endpoint, ListedEndpoint, Network } from "./types.js";

/** A container's endpoints with the address that a network lists for it. */
export function withAddress(
  endpoints: readonly Endpoint[],
  network: Network,
  { ipv4, ipv6 }: ListedEndpoint,
): Endpoint[] {
  const belongs = (endpoint: Endpoint) =>
    endpoint.networkId === ""
      ? endpoint.networkName === network.name || endpoint.networkName === network.id
      : endpoint.networkId === network.id;
  if (!endpoints.some(belongs)) return [...endpoints, emptyEndpoint(network, ipv4, ipv6)];
  return endpoints.map((endpoint) =>
    belongs(endpoint) ? { ...endpoint, networkId: network.id, ipv4, ipv6 } : endpoint,
  );
}

/** A place on a network of which only the address is known. */
export function emptyEndpoint(network: Network, ipv4: string | undefined, ipv6: string | undefined): Endpoint {
  return {
    networkId: network.id,
    networkName: network.name,
    aliases: [],
    links: [],
    ipv4,
    ipv6,
    hasGateway: { ipv4: ipv4 !== undefined, ipv6: ipv6 !== undefined },
    gatewayPriority: 0,
  };
}

/** A container of which only a network's list tells, by the same source as the network. */
export function partialContainer(network: Network, { container, name, ipv4, ipv6 }: ListedEndpoint): Container {
  return {
    id: container,
    source: network.source,
    name,
    hostname: "",
    labels: {},
    running: false,
    sandbox: undefined,
    networkMode: { kind: "own" },
    ports: [],
    published: [],
    dns: { servers: [], options: [], search: [] },
    endpoints: [emptyEndpoint(network, ipv4, ipv6)],
    hostsPath: "",
    resolvConfPath: "",
    legacyLinks: [],
    partial: true,
    excess: undefined,
  };
}
