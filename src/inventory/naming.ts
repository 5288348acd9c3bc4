import { nameLength } from "./limits.js";
import type { Container, Endpoint, Network } from "./types.js";

/**
 * The names a container has on a network, its own first: what PTR and SRV answer with. Auto-generated container names
 * count too (Docker before 25 leaves them out).
 */
export function namesOf(container: Container, endpoint: Endpoint): string[] {
  const names = [container.name, ...endpoint.aliases, container.id.slice(0, 12), container.hostname];
  return [...new Set(names.filter((name) => name !== "" && name.length <= nameLength))];
}

/** An endpoint together with its network, as far as names on it are concerned. */
export interface Joined {
  readonly endpoint: Endpoint;
  readonly network: Network;
}

/** The order in which libnetwork asks a sandbox's networks (`Endpoint.Less`). */
export function compareJoined(a: Joined, b: Joined): number {
  return (
    b.endpoint.gatewayPriority - a.endpoint.gatewayPriority ||
    Number(a.network.internal) - Number(b.network.internal) ||
    gateways(b.endpoint) - gateways(a.endpoint) ||
    (a.network.name < b.network.name ? -1 : Number(a.network.name > b.network.name))
  );
}

/** As Docker 20.10 weighs them: an IPv6 gateway counts for two. */
function gateways({ hasGateway }: Endpoint): number {
  return Number(hasGateway.ipv4) + 2 * Number(hasGateway.ipv6);
}
