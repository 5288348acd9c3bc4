// For unit tests: containers and networks, of which only what matters is given.
import type { Container, Endpoint, Network } from "../types.js";

export const network = (id: string, given: Partial<Network> = {}): Network => ({
  id,
  source: "docker",
  name: id,
  driver: "bridge",
  internal: false,
  predefined: false,
  shared: false,
  ...given,
});

export function endpoint(networkId: string, ipv4: string | undefined, given: Partial<Endpoint> = {}): Endpoint {
  return {
    networkId,
    networkName: networkId,
    aliases: [],
    links: [],
    ipv4,
    ipv6: undefined,
    hasGateway: { ipv4: true, ipv6: false },
    gatewayPriority: 0,
    ...given,
  };
}

/** Its name is its id unless another is given. */
export function container(id: string, given: Partial<Container> = {}): Container {
  return {
    id,
    source: "docker",
    name: id,
    hostname: "",
    labels: {},
    running: true,
    sandbox: undefined,
    networkMode: { kind: "own" },
    ports: [],
    published: [],
    dns: { servers: [], options: [], search: [] },
    endpoints: [],
    hostsPath: "",
    resolvConfPath: "",
    legacyLinks: [],
    partial: false,
    excess: undefined,
    ...given,
  };
}
