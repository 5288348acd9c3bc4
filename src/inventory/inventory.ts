import type { Joined } from "./naming.js";
import { Source } from "./source.js";
import { sandboxSources, sourceNames, type Container, type Endpoint, type Network, type SourceName } from "./types.js";

/** Ids of what may be different now. */
export interface Change {
  readonly containers: ReadonlySet<string>;
  readonly networks: ReadonlySet<string>;
}

/**
 * Containers and networks of the host, as its sources have put them: {@link source}. Listeners are told what changed, and
 * look at the whole.
 */
export class Inventory {
  readonly #containers = new Map<string, Container>();
  readonly #networks = new Map<string, Network>();
  readonly #gateways = new Map<string, Joined>();
  /** Containers with names that are not kept. */
  readonly #nameless = new Set<string>();
  readonly #sources: ReadonlyMap<SourceName, Source>;
  /** Networks on which names of another one are answered, by their id. */
  readonly #namesOf = new Map<string, string>();
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #completions = new Set<(source: SourceName) => void>();

  constructor() {
    const whole = {
      containers: this.#containers,
      networks: this.#networks,
      gateways: this.#gateways,
      isOn: (endpoint: Endpoint, network: string) => this.isOn(endpoint, network),
      changed: (change: { containers?: readonly string[]; networks?: readonly string[] }) => this.#changed(change),
      completed: (source: SourceName) => this.#completions.forEach((listener) => listener(source)),
    };
    this.#sources = new Map(sourceNames.map((name) => [name, new Source(name, whole)]));
  }

  get containers(): ReadonlyMap<string, Container> {
    return this.#containers;
  }

  get networks(): ReadonlyMap<string, Network> {
    return this.#networks;
  }

  /** Who puts things here. Each source owns its own; there is one of each name. */
  source(name: SourceName): Source {
    return this.#sources.get(name)!;
  }

  /** Whether all of these sources have told everything they have; those of sandboxes on this host without others. */
  isComplete(sources: Iterable<SourceName> = sandboxSources): boolean {
    return [...sources].every((name) => this.source(name).isComplete);
  }

  /** @returns stops listening */
  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called when a source comes to be complete. @returns stops listening */
  onComplete(listener: (source: SourceName) => void): () => void {
    this.#completions.add(listener);
    return () => this.#completions.delete(listener);
  }

  /** The container of that name. Where several sources have one, an own sandbox comes first: nobody can keep Docker from giving its name again. */
  named(name: string): Container | undefined {
    for (const source of sandboxSources) {
      const id = this.source(source).named(name);
      if (id !== undefined) return this.#containers.get(id);
    }
    return undefined;
  }

  /** A container's place on docker_gwbridge. */
  gatewayOf(container: string): Joined | undefined {
    return this.#gateways.get(container);
  }

  /** Ids of containers with an address on a network. */
  containersOn(network: string): string[] {
    const isHere = (endpoint: Endpoint) =>
      (endpoint.ipv4 ?? endpoint.ipv6) !== undefined && this.isOn(endpoint, network);
    return [...this.#containers.values()].filter(({ endpoints }) => endpoints.some(isHere)).map(({ id }) => id);
  }

  /** Whether a network has names that are not kept here: of a container with too many, or of other hosts. */
  hasMoreNames({ id, shared }: Network): boolean {
    return (
      shared ||
      [...this.#nameless].some((container) =>
        this.#containers.get(container)?.endpoints.some((endpoint) => this.isOn(endpoint, id)),
      )
    );
  }

  /** Names on this network are those of another one: dockerd has one of its own for a network of several hosts. Undefined: its own. */
  setNamesOf(network: string, other: string | undefined): void {
    if (this.#namesOf.get(network) === other) return;
    if (other === undefined) this.#namesOf.delete(network);
    else this.#namesOf.set(network, other);
    this.#changed({ networks: [network] });
  }

  /** Id of the network whose names are answered on this one: its own, as a rule. */
  namesOf(network: string): string {
    return this.#namesOf.get(network) ?? network;
  }

  /** The network of an endpoint; undefined while it is not known. */
  networkOf(endpoint: Endpoint): Network | undefined {
    if (endpoint.networkId !== "") return this.#networks.get(endpoint.networkId);
    // Only Docker leaves an id out, and it means a network of its own.
    return [...this.#networks.values()].find(
      ({ source, name, id }) => source === "docker" && (name === endpoint.networkName || id === endpoint.networkName),
    );
  }

  /** Whether an endpoint belongs to a network, also before Docker has filled in the id. */
  isOn(endpoint: Endpoint, network: string): boolean {
    if (endpoint.networkId !== "") return endpoint.networkId === network;
    return this.networkOf(endpoint)?.id === network;
  }

  #changed({ containers = [], networks = [] }: { containers?: readonly string[]; networks?: readonly string[] }): void {
    for (const id of containers) {
      if (this.#containers.get(id)?.excess?.names === true) this.#nameless.add(id);
      else this.#nameless.delete(id);
    }
    const sets = { containers: new Set(containers), networks: new Set(networks) };
    for (const listener of this.#listeners) listener(sets);
  }
}
