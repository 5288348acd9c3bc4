import { describeError, PontoonError } from "../../../common/errors.js";
import { processesCalled } from "../../../linux/process-names.js";
import type { Change } from "../../inventory/inventory.js";
import { isDockersBridge } from "../../../network/docker-bridges.js";
import { hostFacts } from "../host-facts.js";
import type { DriverStatus } from "../networks-status.js";
import { overlayPoolsApart, poolsOf } from "../network-defaults.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import type { EnginesPart } from "../reconciler.js";
import { takenSubnets } from "../taken.js";
import { AddressPools, type PoolGround } from "./address-pools.js";
import { SharedAddresses } from "./overlay/shared-addresses.js";
import { SharedEndpoints } from "./overlay/shared-endpoints.js";
import { Twins } from "./overlay/twins.js";
import { dockerLinkAccepts } from "./docker-links.js";
import { wantedHandover } from "./docker-endpoint.js";
import { bandwidthLabel } from "./endpoint-options.js";
import { endpointNames } from "./endpoint-names.js";
import { DockerNetworks } from "./docker-networks.js";
import { EngineCheck } from "./engine-check.js";
import { holderOf, namedAddresses, namedAddressesOn, namespaceOf } from "./inventory-view.js";
import { pluginMethods } from "./methods.js";
import type { PluginRegistry } from "./plugin-registry.js";
import type { PluginParts, PluginSurroundings } from "./parts.js";
import { PluginServer } from "./server.js";

/** The network and IPAM driver `pontoon` of dockerd. */
export class Plugin {
  /** Containers' places on networks of several hosts. */
  readonly sharedEndpoints: SharedEndpoints;
  readonly #pools: AddressPools;
  readonly #twins: Twins;
  readonly #networks: DockerNetworks;
  readonly #check: EngineCheck;
  readonly #server: PluginServer;
  #links = "[]";
  /** Why dockerd is not answered. */
  #off: string | undefined;

  constructor(
    private readonly parts: PluginParts,
    private readonly around: PluginSurroundings,
  ) {
    const { records, reconciler, log } = parts;
    const { inventory } = around;
    this.#pools = new AddressPools(records, (network) => this.#ground(network), {
      holderOf: (address) => holderOf(inventory, address),
      isNamed: (address) => namedAddresses(inventory).includes(address),
    });
    const addresses = new SharedAddresses(parts, this.#pools);
    this.#twins = new Twins(
      records,
      parts.cluster,
      parts.registry.networks,
      {
        isKnown: around.isDockerKnown,
        createNetwork: (network) => around.createNetwork(network),
        removeNetwork: (id) => around.removeNetwork(id),
      },
      log,
    );
    this.sharedEndpoints = new SharedEndpoints(parts, around, { settle: () => addresses.settle() }, this.#twins);
    this.#networks = new DockerNetworks(parts, around, this.sharedEndpoints, this.#twins);
    this.#check = new EngineCheck(
      records,
      this.#networks,
      this.#pools,
      reconciler,
      {
        isKnown: around.isDockerKnown,
        isAlone: () => processesCalled("dockerd") <= 1,
        driverNetworks: () => around.driverNetworks(),
        namedAddresses: (network) => namedAddressesOn(inventory, network),
        namespaceOf: (container) => namespaceOf(inventory, container),
        addressesHaveChanged: () => parts.overlays.compareSoon(),
      },
      log,
    );
    this.#server = new PluginServer(
      around.socket,
      pluginMethods(this.#networks, this.#pools, addresses),
      (method, error) =>
        log.error({ method, reason: describeError(error) }, "a call of dockerd's failed for no reason of its own"),
    );
  }

  /** @param nameOrId of a network of several hosts, whose subnets are wanted */
  #ground(nameOrId?: string): PoolGround {
    const { records, registry, docker, defaults, overlays, cluster } = this.parts;
    const facts = hostFacts({});
    const own = nameOrId === undefined ? undefined : overlays.requireNetwork(nameOrId);
    const networks = [...registry.networks.values(), ...records.networks.values()].filter(
      (network) => own === undefined || (network.id !== own.id && !("shared" in network && network.shared === own.id)),
    );
    // What the inventory tells of Docker's networks may be behind: of one that is just removed the subnet may be wanted again.
    const isDockers = ({ linkName }: { readonly linkName: string }) =>
      isDockersBridge(linkName) || docker.bridges().includes(linkName);
    return {
      ...(own && { own: own.subnets.map(({ subnet }) => Subnet.parse(subnet)) }),
      // Whether it is for a network of several hosts is told only after this.
      pools: cluster.isOn ? overlayPoolsApart(defaults, facts.seed, cluster.host) : poolsOf(defaults, facts.seed),
      taken: takenSubnets({ ...facts, networks, dockerSubnets: docker.subnets() }),
      takenByNetworks: takenSubnets({
        routes: facts.routes.filter(isDockers),
        resolvers: [],
        networks,
        dockerSubnets: [],
      }),
    };
  }

  get status(): DriverStatus {
    const { networks, endpoints } = this.parts.records;
    return { networks: networks.size, endpoints: endpoints.size, ...(this.#off !== undefined && { off: this.#off }) };
  }

  /** Takes up what an earlier daemon has stored. Once the records are read. */
  load(): void {
    this.#pools.load();
    for (const { id, shared } of this.parts.records.networks.values())
      if (shared !== undefined) this.around.inventory.setNamesOf(id, shared);
  }

  /** Answers dockerd from now on. Never rejects: what keeps it from that is logged. */
  async start(): Promise<void> {
    try {
      await this.#server.start();
    } catch (error) {
      const reason = error instanceof PontoonError ? error.message : describeError(error);
      this.#off = reason;
      this.parts.log.error({ reason }, "dockerd cannot use the network driver pontoon");
    }
  }

  /** Answers what was asked, and nothing more. Can be called twice. */
  async stop(): Promise<void> {
    await this.#server.stop();
    await this.#check.stop();
    await this.#twins.stop();
  }

  /** dockerd is followed, and all of it is known. Never rejects. */
  async dockerIsKnown(): Promise<void> {
    await this.#check.run();
    this.#twins.review();
  }

  /** Networks have their names; containers are called otherwise, have other links, or have come with addresses that their users have named. */
  inventoryHasChanged({ containers, networks }: Change): void {
    const { records } = this.parts;
    if (records.isEmpty) return;
    for (const id of networks) this.#nameNetwork(id);
    for (const id of containers) this.#keepNamed(id);
    const changed = [...containers].flatMap((id) => this.around.inventory.containers.get(id) ?? []);
    for (const { endpoint, container } of endpointNames(records, changed)) {
      this.#networks.rename(endpoint, container);
      const bandwidth = this.around.inventory.containers.get(container.id)?.labels[bandwidthLabel];
      if (bandwidth !== undefined) void this.#networks.limit(endpoint, bandwidth);
    }
    this.#reviewLinks();
    this.sharedEndpoints.review(containers);
    if (networks.size > 0) this.#twins.review();
  }

  /** So that messages can name it. Never throws: it is named when it is compared with what dockerd has. */
  #nameNetwork(id: string): void {
    const network = this.around.inventory.networks.get(id);
    try {
      if (network) this.#networks.nameNetwork(id, network.name);
    } catch (error) {
      this.parts.log.warn(
        { network: network?.name, reason: describeError(error) },
        "a network's name could not be stored",
      );
    }
  }

  /** Never throws: what cannot be stored is kept when it is compared with what dockerd has. */
  #keepNamed(id: string): void {
    const { inventory } = this.around;
    try {
      for (const endpoint of inventory.containers.get(id)?.endpoints ?? []) {
        const { subnets } = inventory.networkOf(endpoint) ?? {};
        if (endpoint.named && subnets) this.#pools.keepNamed(subnets, endpoint.named);
      }
    } catch (error) {
      const reason = describeError(error);
      this.parts.log.warn(
        { container: id.slice(0, 12), reason },
        "an address that a container names could not be kept",
      );
    }
  }

  #reviewLinks(): void {
    const links = JSON.stringify(this.links());
    if (links === this.#links) return;
    this.#links = links;
    void this.parts.reconciler.background("links between containers could not be opened, or closed", () =>
      this.parts.reconciler.change({}),
    );
  }

  /** Ports that links open where containers do not reach one another. */
  links() {
    const { networks } = this.parts.records;
    const quiet = new Set([...networks.values()].filter(({ icc }) => !icc).map(({ id }) => id));
    return quiet.size === 0 ? [] : dockerLinkAccepts(this.around.inventory, (id) => quiet.has(id));
  }

  /** Pairs that the kernel has taken away are nobody's any more. Never throws. */
  forgetGone(ids: readonly string[]): void {
    for (const id of ids) void this.#forgetGone(id);
  }

  async #forgetGone(id: string): Promise<void> {
    const { records, log } = this.parts;
    try {
      await this.around.ports.unpublish(id); // first: the record is what is known of its ports at the next start
      const endpoint = records.endpoints.get(id);
      records.remove("docker-endpoint", id);
      if (endpoint) this.#networks.hasGone(endpoint);
    } catch (error) {
      log.warn(
        { reason: describeError(error) },
        "a container that is gone may still have published ports; the next start frees them",
      );
    }
  }
}

/** What is wanted for dockerd. @param plugin undefined where dockerd has no driver of ours */
export function enginesPart(records: PluginRegistry, plugin: () => Plugin | undefined): EnginesPart {
  return {
    networks: () => [...records.networks.values()].filter(({ shared }) => shared === undefined),
    joinedOn: (network) => plugin()?.sharedEndpoints.joinedOn(network) ?? 0,
    handovers: () =>
      [...records.endpoints.values()].flatMap((endpoint) => {
        const network = records.networks.get(endpoint.network);
        return network && endpoint.path !== undefined ? [wantedHandover(endpoint, network)] : [];
      }),
    links: () => plugin()?.links() ?? [],
    onGone: (ids) => plugin()?.forgetGone(ids),
  };
}
