import { PontoonError } from "../../common/errors.js";
import { uniqueLocalPool } from "../../network/addresses/pools.js";
import { networkAnswer } from "./answers.js";
import type { CreateNetworkRequest, NetworkAnswer } from "./contract.js";
import { defineNetwork } from "./define-network.js";
import { defaultNetwork, fixedNetworks, isFixed, requireBridge, requireRemovable } from "./fixed-networks.js";
import { hostFacts, type HostFacts } from "./host-facts.js";
import type { DockersNetworks } from "./dockers-networks.js";
import type { NetworkAddresses } from "./network-addresses.js";
import { defaultNetworkRequest, type NetworkDefaults } from "./network-defaults.js";
import { newId } from "./new-id.js";
import type { Reconciler } from "./reconciler.js";
import type { NetworkRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { takenSubnets } from "./taken.js";

/** Makes and removes networks. What changes something is called from a command of the reconciler. */
export class Networks {
  constructor(
    private readonly registry: Registry,
    private readonly reconciler: Reconciler,
    private readonly addresses: NetworkAddresses,
    private readonly dockers: DockersNetworks,
    private readonly defaults: NetworkDefaults,
  ) {}

  list(): NetworkAnswer[] {
    const own = [...this.registry.networks.values()].map((network) => networkAnswer(this.registry, network));
    return [...own, ...this.#fixed];
  }

  inspect(nameOrId: string): NetworkAnswer {
    const fixed = this.#fixed.find(({ Name, Id }) => Name === nameOrId || Id === nameOrId);
    return fixed ?? networkAnswer(this.registry, this.registry.network(nameOrId));
  }

  get #fixed(): NetworkAnswer[] {
    return fixedNetworks((name) => this.registry.networkNamed(name) !== undefined);
  }

  /** Rejects with a PontoonError that says what is wrong; nothing is left of it then. */
  async create(request: CreateNetworkRequest): Promise<NetworkRecord> {
    const { networks } = this.registry;
    this.#requireFreeName(request.name);
    const facts = hostFacts(request.bridge, this.dockers.bridges());
    const { mtu } = this.defaults;
    const network = defineNetwork(mtu === undefined || facts.bridge ? request : { mtu, ...request }, {
      ...facts,
      id: newId(),
      created: new Date().toISOString(),
      pools: this.#pools(facts),
      taken: takenSubnets({ ...facts, networks: networks.values(), dockerSubnets: this.dockers.subnets() }),
      bridgesInUse: new Map([...networks.values()].map(({ name, bridge }) => [bridge, name])),
    });
    this.registry.commit({ networks: [network] });
    try {
      await this.reconciler.change({ networks: [this.reconciler.wantedNetwork(network)] });
    } catch (error) {
      await this.reconciler.undo({ networks: [network.id] });
      throw error;
    }
    this.addAddresses(network);
    return network;
  }

  /** IPv6's own pool is another on each host. */
  #pools({ seed }: HostFacts): NetworkDefaults["pools"] {
    const { ipv4, ipv6 } = this.defaults.pools;
    return { ipv4, ipv6: ipv6.length > 0 ? ipv6 : [uniqueLocalPool(seed)] };
  }

  #requireFreeName(name: string): void {
    const isReserved = isFixed(name) && name !== defaultNetwork.name;
    if (!isReserved && !this.registry.networkNamed(name)) return;
    throw new PontoonError(
      "NAME_TAKEN",
      name,
      `there is a network ${name} already; choose another name, or remove it first`,
    );
  }

  /** The network that somebody wants to join. The default network is made when it is first asked for. */
  async toJoin(nameOrId: string): Promise<NetworkRecord> {
    requireBridge(nameOrId);
    const isMissing = nameOrId === defaultNetwork.name && !this.registry.networkNamed(nameOrId);
    return isMissing ? this.#createDefault() : this.registry.network(nameOrId);
  }

  /** A bridge that the configuration names is somebody else's, and not made in their place. */
  async #createDefault(): Promise<NetworkRecord> {
    const { bridge } = this.defaults;
    const request = defaultNetworkRequest(this.defaults);
    if (bridge !== undefined && !hostFacts(bridge).bridge)
      throw new PontoonError(
        "BRIDGE_UNKNOWN",
        bridge,
        `there is no bridge ${bridge}, which network.bridge in the configuration names; make it first`,
      );
    return this.create(request);
  }

  /** Rejects with NETWORK_IN_USE while sandboxes are on it. */
  async remove(nameOrId: string): Promise<NetworkAnswer> {
    requireRemovable(nameOrId);
    const network = this.registry.network(nameOrId);
    const [endpoint, ...others] = this.registry.endpointsOf({ network: network.id });
    if (!endpoint) return this.#remove(network);
    const { name } = this.registry.sandboxes.get(endpoint.sandbox)!;
    const more = others.length > 0 ? ` and ${others.length} more` : "";
    throw new PontoonError(
      "NETWORK_IN_USE",
      network.name,
      `network ${network.name} is in use by sandbox ${name}${more}; disconnect what is on it first`,
    );
  }

  async #remove(network: NetworkRecord): Promise<NetworkAnswer> {
    const answer = networkAnswer(this.registry, network);
    const removed = { networks: [network.id] };
    await this.reconciler.change({ removed });
    this.registry.commit({ removed });
    this.addresses.remove(network.id);
    return answer;
  }

  /** Removes networks that no sandbox is on. */
  async prune(): Promise<NetworkAnswer[]> {
    const unused = [...this.registry.networks.values()].filter(({ id }) => this.registry.endpointsOn(id) === 0);
    const removed: NetworkAnswer[] = [];
    for (const network of unused) removed.push(await this.#remove(network));
    return removed;
  }

  /** From now on addresses of it are given out. */
  addAddresses(network: NetworkRecord): void {
    this.addresses.add(
      network,
      this.registry.endpointsOf({ network: network.id }),
      ({ sandbox }) => `sandbox ${this.registry.sandboxes.get(sandbox)?.name}`,
    );
  }
}
