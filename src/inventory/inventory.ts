import type { Joined } from "./naming.js";
import type { Container, Endpoint, ListedEndpoint, Network } from "./types.js";

/** The bridge that Docker gives containers none of whose networks leads out of the host. It is not listed among their networks. */
export const gatewayBridge = "docker_gwbridge";

/** Ids of what may be different now. */
export interface Change {
  readonly containers: ReadonlySet<string>;
  readonly networks: ReadonlySet<string>;
}

/**
 * Containers and networks of the host. What is learnt is put here; listeners are told what changed,
 * and look at the whole.
 */
export class Inventory {
  readonly containers = new Map<string, Container>();
  readonly networks = new Map<string, Network>();
  readonly #byName = new Map<string, Container>();
  /** By container. */
  readonly #gateways = new Map<string, Joined>();
  /** Containers with names that are not kept. */
  readonly #nameless = new Set<string>();
  readonly #listeners = new Set<(change: Change) => void>();

  /** @returns stops listening */
  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  putContainer(container: Container): void {
    if (sameData(this.containers.get(container.id), container)) return;
    this.#forgetName(container.id);
    this.containers.set(container.id, container);
    this.#byName.set(container.name, container);
    if (container.excess?.names === true) this.#nameless.add(container.id);
    else this.#nameless.delete(container.id);
    this.#changed({ containers: [container.id] });
  }

  removeContainer(id: string): void {
    this.#forgetName(id);
    this.#gateways.delete(id);
    this.#nameless.delete(id);
    if (this.containers.delete(id)) this.#changed({ containers: [id] });
  }

  /** The container of that name. */
  named(name: string): Container | undefined {
    return this.#byName.get(name);
  }

  putNetwork(network: Network): void {
    if (sameData(this.networks.get(network.id), network)) return;
    this.networks.set(network.id, network);
    this.#changed({ networks: [network.id] });
  }

  removeNetwork(id: string): void {
    if (this.networks.get(id)?.name === gatewayBridge)
      for (const container of [...this.#gateways.keys()]) this.removeGateway(container);
    if (this.networks.delete(id)) this.#changed({ networks: [id] });
  }

  /** Adds addresses that a network already lists while the container itself cannot be inspected yet. */
  putListed(network: Network, listed: readonly ListedEndpoint[]): void {
    for (const entry of listed) {
      const known = this.containers.get(entry.container);
      if (known) this.putContainer({ ...known, endpoints: withAddress(known.endpoints, network, entry) });
      else this.putContainer(partialContainer(network, entry));
    }
  }

  /** All containers that are on docker_gwbridge. */
  putGateways(network: Network, listed: readonly ListedEndpoint[]): void {
    this.putNetwork(network);
    const now = new Map(
      listed.map(({ container, ipv4, ipv6 }) => [container, { endpoint: emptyEndpoint(network, ipv4, ipv6), network }]),
    );
    const before = new Map(this.#gateways);
    this.#gateways.clear();
    for (const [container, gateway] of now) this.#gateways.set(container, gateway);
    const changed = [...new Set([...before.keys(), ...now.keys()])].filter(
      (id) => this.containers.has(id) && !sameData(before.get(id), now.get(id)),
    );
    if (changed.length > 0) this.#changed({ containers: changed });
  }

  /** A container has no address on docker_gwbridge, or none that is known to be right. */
  removeGateway(container: string): void {
    if (this.#gateways.delete(container)) this.#changed({ containers: [container] });
  }

  /** A container's place on docker_gwbridge. */
  gatewayOf(container: string): Joined | undefined {
    return this.#gateways.get(container);
  }

  /** A container has left a network. */
  removeEndpoint(container: string, network: string): void {
    const known = this.containers.get(container);
    if (!known) return;
    const endpoints = known.endpoints.map((endpoint) =>
      this.isOn(endpoint, network) ? { ...endpoint, ipv4: undefined, ipv6: undefined } : endpoint,
    );
    this.putContainer({ ...known, endpoints });
  }

  /** Ids of containers with an address on a network. */
  containersOn(network: string): string[] {
    const isHere = (endpoint: Endpoint) =>
      (endpoint.ipv4 ?? endpoint.ipv6) !== undefined && this.isOn(endpoint, network);
    return [...this.containers.values()].filter(({ endpoints }) => endpoints.some(isHere)).map(({ id }) => id);
  }

  /** Whether a network has names that are not kept here: of a container with too many, or of other hosts. */
  hasMoreNames({ id, shared }: Network): boolean {
    return (
      shared ||
      [...this.#nameless].some((container) =>
        this.containers.get(container)?.endpoints.some((endpoint) => this.isOn(endpoint, id)),
      )
    );
  }

  /** The network of an endpoint; undefined while it is not known. */
  networkOf(endpoint: Endpoint): Network | undefined {
    if (endpoint.networkId !== "") return this.networks.get(endpoint.networkId);
    return [...this.networks.values()].find(
      (network) => network.name === endpoint.networkName || network.id === endpoint.networkName,
    );
  }

  /** Whether an endpoint belongs to a network, also before Docker has filled in the id. */
  isOn(endpoint: Endpoint, network: string): boolean {
    if (endpoint.networkId !== "") return endpoint.networkId === network;
    return this.networkOf(endpoint)?.id === network;
  }

  /** Another container may have taken the name already. */
  #forgetName(id: string): void {
    const name = this.containers.get(id)?.name;
    if (name !== undefined && this.#byName.get(name)?.id === id) this.#byName.delete(name);
  }

  #changed(change: { containers?: string[]; networks?: string[] }): void {
    const sets = { containers: new Set(change.containers), networks: new Set(change.networks) };
    for (const listener of this.#listeners) listener(sets);
  }
}

function withAddress(endpoints: readonly Endpoint[], network: Network, { ipv4, ipv6 }: ListedEndpoint): Endpoint[] {
  const belongs = (endpoint: Endpoint) =>
    endpoint.networkId === ""
      ? endpoint.networkName === network.name || endpoint.networkName === network.id
      : endpoint.networkId === network.id;
  if (!endpoints.some(belongs)) return [...endpoints, emptyEndpoint(network, ipv4, ipv6)];
  return endpoints.map((endpoint) =>
    belongs(endpoint) ? { ...endpoint, networkId: network.id, ipv4, ipv6 } : endpoint,
  );
}

function emptyEndpoint(network: Network, ipv4: string | undefined, ipv6: string | undefined): Endpoint {
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

function partialContainer(network: Network, { container, name, ipv4, ipv6 }: ListedEndpoint): Container {
  return {
    id: container,
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

/** Plain data, built in the same key order by the same functions. */
function sameData(known: unknown, fresh: unknown): boolean {
  return known !== undefined && JSON.stringify(known) === JSON.stringify(fresh);
}
