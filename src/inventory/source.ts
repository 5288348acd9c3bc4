import { sameData } from "./same-data.js";
import { emptyEndpoint, partialContainer, withAddress } from "./listed.js";
import type { Joined } from "./naming.js";
import type { Container, Endpoint, ListedEndpoint, Network, SourceName } from "./types.js";

/** The bridge that Docker gives containers none of whose networks leads out of the host. It is not listed among their networks. */
export const gatewayBridge = "docker_gwbridge";

/** What all sources have put together, as the inventory holds it. */
export interface Whole {
  readonly containers: Map<string, Container>;
  readonly networks: Map<string, Network>;
  /** Places on docker_gwbridge, by container. */
  readonly gateways: Map<string, Joined>;
  isOn(endpoint: Endpoint, network: string): boolean;
  changed(change: { readonly containers?: readonly string[]; readonly networks?: readonly string[] }): void;
  completed(source: SourceName): void;
}

/**
 * Where containers and networks are known from. It owns what it has put: nobody else can change or remove it. What it has
 * learnt is put here; listeners of the inventory are told what changed.
 */
export class Source {
  readonly #containers = new Set<string>();
  readonly #networks = new Set<string>();
  readonly #byName = new Map<string, string>();
  #isComplete = false;

  constructor(
    readonly name: SourceName,
    private readonly whole: Whole,
  ) {}

  /** Whether everything of this source has been seen once: what is not here does not exist. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Everything of this source is here. What is told later are changes. Counts the first time. */
  complete(): void {
    if (this.#isComplete) return;
    this.#isComplete = true;
    this.whole.completed(this.name);
  }

  /** Ids of all it has put, networks' too. */
  get ids(): string[] {
    return [...this.#containers, ...this.#networks];
  }

  /** Id of its container of that name. */
  named(name: string): string | undefined {
    return this.#byName.get(name);
  }

  /** Throws when another source has a container of that id. */
  putContainer(container: Container): void {
    const known = this.whole.containers.get(container.id);
    this.#requireOwn("container", container, known);
    if (sameData(known, container)) return;
    this.#forgetName(known);
    this.#containers.add(container.id);
    this.whole.containers.set(container.id, container);
    this.#byName.set(container.name, container.id);
    this.whole.changed({ containers: [container.id] });
  }

  removeContainer(id: string): void {
    if (!this.#containers.delete(id)) return;
    this.#forgetName(this.whole.containers.get(id));
    this.whole.gateways.delete(id);
    this.whole.containers.delete(id);
    this.whole.changed({ containers: [id] });
  }

  /** Throws when another source has a network of that id. */
  putNetwork(network: Network): void {
    const known = this.whole.networks.get(network.id);
    this.#requireOwn("network", network, known);
    if (sameData(known, network)) return;
    this.#networks.add(network.id);
    this.whole.networks.set(network.id, network);
    this.whole.changed({ networks: [network.id] });
  }

  removeNetwork(id: string): void {
    if (!this.#networks.delete(id)) return;
    if (this.whole.networks.get(id)?.name === gatewayBridge)
      for (const container of [...this.whole.gateways.keys()]) this.removeGateway(container);
    this.whole.networks.delete(id);
    this.whole.changed({ networks: [id] });
  }

  /** Adds addresses that a network already lists while the container itself cannot be inspected yet. */
  putListed(network: Network, listed: readonly ListedEndpoint[]): void {
    for (const entry of listed) {
      const known = this.#own(entry.container);
      if (known) this.putContainer({ ...known, endpoints: withAddress(known.endpoints, network, entry) });
      else this.putContainer(partialContainer(network, entry));
    }
  }

  /** All containers that are on docker_gwbridge. */
  putGateways(network: Network, listed: readonly ListedEndpoint[]): void {
    this.putNetwork(network);
    const { gateways } = this.whole;
    const now = new Map(
      listed.map(({ container, ipv4, ipv6 }) => [container, { endpoint: emptyEndpoint(network, ipv4, ipv6), network }]),
    );
    const before = new Map(gateways);
    gateways.clear();
    for (const [container, gateway] of now) gateways.set(container, gateway);
    const changed = [...new Set([...before.keys(), ...now.keys()])].filter(
      (id) => this.#containers.has(id) && !sameData(before.get(id), now.get(id)),
    );
    if (changed.length > 0) this.whole.changed({ containers: changed });
  }

  /** A container has no address on docker_gwbridge, or none that is known to be right. */
  removeGateway(container: string): void {
    if (this.whole.gateways.delete(container)) this.whole.changed({ containers: [container] });
  }

  /** A container has left a network. */
  removeEndpoint(container: string, network: string): void {
    const known = this.#own(container);
    if (!known) return;
    const endpoints = known.endpoints.map((endpoint) =>
      this.whole.isOn(endpoint, network) ? { ...endpoint, ipv4: undefined, ipv6: undefined } : endpoint,
    );
    this.putContainer({ ...known, endpoints });
  }

  #own(container: string): Container | undefined {
    return this.#containers.has(container) ? this.whole.containers.get(container) : undefined;
  }

  #requireOwn(
    kind: string,
    { id, source }: { readonly id: string; readonly source: SourceName },
    known: { readonly source: SourceName } | undefined,
  ): void {
    const owner = known?.source ?? source;
    if (source !== this.name || owner !== this.name)
      throw new TypeError(`${kind} ${id} is not ${this.name}'s to put: it is ${owner}'s`);
  }

  /** Another container may have taken the name already. */
  #forgetName(known: Container | undefined): void {
    if (known && this.#byName.get(known.name) === known.id) this.#byName.delete(known.name);
  }
}
