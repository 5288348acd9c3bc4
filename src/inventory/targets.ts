import { familyOf, unspecified, type Family } from "../../common/address.js";
import type { Inventory } from "./inventory.js";
import { compareJoined, type Joined } from "./naming.js";
import { gatewayBridge } from "./source.js";
import type { Container, Endpoint, Network } from "./types.js";

/** Drivers whose containers the host itself cannot reach at their addresses, and why. */
const unreachableDrivers: Readonly<Record<string, string>> = {
  macvlan: "a macvlan link does not reach the host itself",
  ipvlan: "an ipvlan link does not reach the host itself",
  pair: "a pair has no end on the host",
  overlay: "an overlay network has no address of the host",
};

/** Where the host reaches a container. */
export type Reach =
  | {
      readonly kind: "reached";
      readonly network: Network;
      readonly ipv4: string | undefined;
      readonly ipv6: string | undefined;
    }
  /** It is down, on no network, or not known well enough yet. */
  | { readonly kind: "absent" }
  /** It runs, and has no address at which the host reaches it. */
  | { readonly kind: "cut-off"; readonly reason: string };

/** What decides, besides the networks, where Docker binds ports that name no address. */
export interface BindingHost {
  readonly hasIPv6: boolean;
  /** Docker's userland proxy passes IPv6 on to containers that have IPv4 only; without it nobody does. */
  readonly userlandProxy: boolean;
}

/** Addresses of the host, or the reason why there are none. */
export interface HostAddresses {
  readonly ips: readonly string[];
  readonly reason?: string;
}

/** The container in whose network namespace this one runs; itself but for `--network container:`. Undefined while that one is not known. */
export function namespaceOwner(inventory: Inventory, container: Container): Container | undefined {
  if (container.networkMode.kind !== "container") return container;
  const { of } = container.networkMode;
  return inventory.containers.get(of) ?? containerNamed(inventory, of);
}

/** Where a running container is; nowhere while it is down. @param gateway its place on docker_gwbridge */
export function addressesOf({ running, endpoints }: Container, gateway?: Joined): string[] {
  const places = gateway ? [...endpoints, gateway.endpoint] : endpoints;
  return running ? places.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].filter((address) => address !== undefined)) : [];
}

/** The address at which the host reaches a container, of the same family as its clients if it has one; undefined while it has none, or is down. */
export function addressIn(inventory: Inventory, container: Container, family: Family): string | undefined {
  const reach = reachOf(inventory, container);
  if (reach.kind !== "reached") return undefined;
  return reach[family] ?? reach[family === "ipv4" ? "ipv6" : "ipv4"];
}

/** By which network the host reaches a container: the one Docker would publish its ports by, where it has such a network. */
export function reachOf(inventory: Inventory, container: Container): Reach {
  const owner = namespaceOwner(inventory, container);
  if (!container.running || !owner?.running) return { kind: "absent" };
  const joined = joinedOf(inventory, owner, ({ ipv4, ipv6 }) => (ipv4 ?? ipv6) !== undefined);
  const gateway = inventory.gatewayOf(owner.id);
  const [first] = [...joined, ...(gateway ? [gateway] : [])].filter(isReachable).sort(compareReach);
  if (first) return { kind: "reached", network: first.network, ...reachableAddresses(first) };
  const reason = cutOff(container.name, joined);
  return reason === undefined ? { kind: "absent" } : { kind: "cut-off", reason };
}

/** Why no port of a container can be published; undefined if it can. What is not known yet counts as possible. */
export function unpublishable(inventory: Inventory, container: Container): string | undefined {
  const owner = namespaceOwner(inventory, container);
  if (owner?.networkMode.kind === "host")
    return `${container.name} uses the host's network, so its ports are the host's own`;
  if (owner?.networkMode.kind === "none") return `${container.name} has no network (--network none); connect it to one`;
  const reach = reachOf(inventory, container);
  if (reach.kind === "cut-off") return reach.reason;
  // A container that is down may get an address on docker_gwbridge when it starts, but not with these networks.
  const networks = owner && !owner.running ? joinedOf(inventory, owner) : [];
  return networks.every(({ network }) => isOnLan(network) && isCutOff(network))
    ? cutOff(container.name, networks)
    : undefined;
}

/**
 * Where Docker would bind ports of a container that name no address: everywhere, unless the network by which
 * it publishes them says otherwise. A container that is down counts as on the first of the networks it is to join.
 */
export function defaultAddresses(
  inventory: Inventory,
  container: Container,
  { hasIPv6, userlandProxy }: BindingHost,
): HostAddresses {
  const reach = reachOf(inventory, container);
  const network = reach.kind === "reached" ? reach.network : configuredNetwork(inventory, container);
  const nothing = (why: string) => ({
    ips: [],
    reason:
      `Docker publishes nothing of ${container.name} on the host: ${why}; ` +
      "name an address, such as 127.0.0.1:8080:80, to publish it all the same",
  });
  if (network?.internal === true) return nothing(`its network ${network.name} is internal`);
  const isBound = (ip: string) => network?.unbound?.[familyOf(ip)] === undefined;
  const hasWay = reach.kind === "reached" && reach.ipv6 !== undefined;
  const everywhere = hasIPv6 && (userlandProxy || hasWay) ? [unspecified.ipv4, unspecified.ipv6] : [unspecified.ipv4];
  const ips = (network?.hostBinding === undefined ? everywhere : [network.hostBinding]).filter(isBound);
  return ips.length > 0
    ? { ips }
    : nothing(`the gateway mode of ${network!.name} is ${network!.unbound?.ipv4 ?? network!.unbound?.ipv6}`);
}

/** Whether an address is covered by others: it is among them, or all addresses of its family are. */
export function isWithin(ip: string, ips: readonly string[]): boolean {
  return ips.includes(ip) || ips.includes(unspecified[familyOf(ip)]);
}

/** By name, id, or the beginning of an id (four letters at least). */
export function containerNamed(inventory: Inventory, nameOrId: string): Container | undefined {
  const named = inventory.named(nameOrId);
  if (named || nameOrId.length < 4) return named;
  return [...inventory.containers.values()].find(({ id }) => id.startsWith(nameOrId));
}

/** Its places on networks that are known. */
function joinedOf(
  inventory: Inventory,
  owner: Container,
  isWanted: (endpoint: Endpoint) => boolean = () => true,
): Joined[] {
  return owner.endpoints.filter(isWanted).flatMap((endpoint): Joined[] => {
    const network = inventory.networkOf(endpoint);
    return network ? [{ endpoint, network }] : [];
  });
}

function configuredNetwork(inventory: Inventory, container: Container): Network | undefined {
  const owner = namespaceOwner(inventory, container);
  return owner && joinedOf(inventory, owner).sort(compareReach)[0]?.network;
}

function reachableAddresses({ endpoint, network: { unbound } }: Joined): {
  ipv4: string | undefined;
  ipv6: string | undefined;
} {
  return {
    ipv4: unbound?.ipv4 === "isolated" ? undefined : endpoint.ipv4,
    ipv6: unbound?.ipv6 === "isolated" ? undefined : endpoint.ipv6,
  };
}

function isReachable(joined: Joined): boolean {
  const { ipv4, ipv6 } = reachableAddresses(joined);
  return !isCutOff(joined.network) && (ipv4 ?? ipv6) !== undefined;
}

/** Whether the host reaches nobody on it. */
function isCutOff({ driver, hostAccess = false }: Network): boolean {
  return Object.hasOwn(unreachableDrivers, driver) && !hostAccess;
}

/** Whether its containers are neighbours on a LAN of the host's: what they answer does not pass the host. */
export function isOnLan({ driver }: Network): boolean {
  return driver === "macvlan" || driver === "ipvlan";
}

/** Where Docker publishes ports comes first: by a gateway of the container's own networks, else by docker_gwbridge. */
function compareReach(a: Joined, b: Joined): number {
  return Number(a.network.internal) - Number(b.network.internal) || distance(a) - distance(b) || compareJoined(a, b);
}

function distance({ endpoint: { hasGateway }, network }: Joined): number {
  const { driver, name } = network;
  if (name === gatewayBridge) return 1;
  if (isCutOff(network)) return 3;
  return driver === "bridge" || hasGateway.ipv4 || hasGateway.ipv6 ? 0 : 2;
}

function cutOff(name: string, joined: readonly Joined[]): string | undefined {
  const [first] = joined;
  if (!first) return undefined;
  const networks = joined.map(({ network }) => `${network.name} (${network.driver})`).join(", ");
  const why = unreachableDrivers[first.network.driver] ?? "its gateway mode is isolated";
  return `the host cannot reach ${name} on ${networks}: ${why}; connect it to a bridge network as well`;
}
