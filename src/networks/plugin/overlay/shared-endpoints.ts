import { describeError, errorCode } from "../../../../common/errors.js";
import type { SharedEndpoint, SharedNetwork } from "../../../cluster/records.js";
import type { Container } from "../../../inventory/types.js";
import { sameData } from "../../../inventory/same-data.js";
import type { EngineEndpoints } from "../../overlay/engine-endpoints.js";
import { withoutPath } from "../docker-endpoint.js";
import type { PluginParts, PluginSurroundings } from "../parts.js";
import type { DockerEndpointRecord, DockerNetworkRecord } from "../records.js";
import type { SharedAddresses } from "./shared-addresses.js";
import type { Twins } from "./twins.js";

/** Containers' places on networks of several hosts: their names are claimed in the store before they join. */
export class SharedEndpoints implements EngineEndpoints {
  /** Names that somebody else has, by endpoint: told once. */
  readonly #refused = new Map<string, string>();

  constructor(
    private readonly parts: PluginParts,
    private readonly around: Pick<PluginSurroundings, "inventory" | "nameOf">,
    private readonly addresses: Pick<SharedAddresses, "settle">,
    private readonly twins: Pick<Twins, "review">,
  ) {}

  networksHaveChanged(): void {
    this.twins.review();
  }

  get #own(): DockerNetworkRecord[] {
    return [...this.parts.records.networks.values()].filter(({ shared }) => shared !== undefined);
  }

  #joined(network?: string): DockerEndpointRecord[] {
    return this.#own
      .filter(({ shared }) => network === undefined || shared === network)
      .flatMap(({ id }) => this.parts.records.endpointsOn(id))
      .filter(({ path }) => path !== undefined);
  }

  joinedOn(network: string): number {
    return this.#joined(network).length;
  }

  has(id: string): boolean {
    const { records } = this.parts;
    const endpoint = records.endpoints.get(id);
    return endpoint?.path !== undefined && records.networks.get(endpoint.network)?.shared !== undefined;
  }

  shared(): SharedEndpoint[] {
    return this.#joined().map((endpoint) => this.#sharedOf(endpoint));
  }

  dockerOf(network: string): SharedNetwork["docker"] {
    const known = this.#own.find(({ shared }) => shared === network);
    return known?.sharedOptions && { options: known.sharedOptions, isNamed: true };
  }

  settleAddresses(): Promise<void> {
    return this.addresses.settle();
  }

  /** What other hosts are to know of it, as far as it is known itself. */
  #sharedOf(
    endpoint: DockerEndpointRecord,
    network = this.parts.records.networks.get(endpoint.network)!.shared!,
  ): SharedEndpoint {
    const { id, ipv4, ipv6, mac, container = id.slice(0, 12), containerId = id } = endpoint;
    const { inventory } = this.around;
    const known = inventory.containers.get(containerId);
    return {
      id,
      network,
      host: this.parts.cluster.host,
      sandbox: containerId,
      name: container,
      hostname: known?.hostname ?? "",
      aliases: known?.endpoints.find((each) => inventory.isOn(each, endpoint.network))?.aliases ?? [],
      exposed: (known?.ports ?? []).map(([port, transport]) => [port, transport]),
      ...(ipv4 !== undefined && { ipv4 }),
      ...(ipv6 !== undefined && { ipv6 }),
      mac,
      reserved: true,
    };
  }

  /** How dockerd calls the container of an endpoint that is about to join; undefined where it does not tell in time. */
  nameOf(endpoint: DockerEndpointRecord): Promise<string | undefined> {
    return this.around.nameOf(endpoint.network, endpoint.id);
  }

  /**
   * Takes an endpoint's name for all hosts. To be called in a turn, before it joins.
   * @param name its container's, as far as dockerd tells
   * @returns the endpoint, with that name. Rejects as `Cluster.claim`; nothing is left of it then.
   */
  async claim(endpoint: DockerEndpointRecord, name: string | undefined): Promise<DockerEndpointRecord> {
    const container = name ?? endpoint.container ?? this.#nameBefore(endpoint);
    const named = container === undefined ? endpoint : { ...endpoint, container };
    const shared = this.#sharedOf(named);
    try {
      await this.parts.cluster.claim(shared);
    } catch (error) {
      // A container that starts again while the store is out of reach has still what it had.
      if (errorCode(error) !== "CLUSTER_AWAY" || !this.#isStillOurs(shared)) throw error;
      this.parts.log.info(
        { container: shared.name },
        "a container has its name still, and the store hears of it later",
      );
    }
    return named;
  }

  /** dockerd does not tell while it starts itself, and gives containers the addresses that they had. */
  #nameBefore({ network, ipv4, ipv6 }: DockerEndpointRecord): string | undefined {
    const { shared = "" } = this.parts.records.networks.get(network) ?? {};
    const before = this.parts.cluster.ownWith(shared, ipv4 ?? ipv6);
    return before && !this.has(before.id) ? before.name : undefined;
  }

  #isStillOurs({ network, name, host }: SharedEndpoint): boolean {
    const stored = this.parts.cluster.named(network, name);
    return stored?.host === host && !this.has(stored.id);
  }

  /** It has left a network of several hosts: others may have its name. To be called in a turn. Never rejects. */
  async release(endpoint: DockerEndpointRecord, network: string): Promise<void> {
    this.#refused.delete(endpoint.id);
    const stored = this.parts.cluster.withId(network, endpoint.id); // it may be called otherwise by now
    await this.parts.cluster.release(stored ?? this.#sharedOf(endpoint, network));
  }

  /** Containers are otherwise than they were: others are told their names, aliases and ports. Returns at once. */
  review(containers: ReadonlySet<string>): void {
    this.#review(({ containerId }) => containerId !== undefined && containers.has(containerId));
  }

  endpointsHaveChanged(ids: ReadonlySet<string>): void {
    // What came before it was heard of could not be told; and a name may be free by now.
    this.#review(({ id }) => ids.has(id) || this.#refused.has(id));
  }

  #review(isWanted: (endpoint: DockerEndpointRecord) => boolean): void {
    for (const endpoint of this.#joined())
      if (isWanted(endpoint) && this.#isNews(endpoint))
        void this.parts.reconciler.background("other hosts could not be told of a container", async () => {
          const now = this.parts.records.endpoints.get(endpoint.id);
          if (now?.path !== undefined && this.#isNews(now)) await this.#tell(now);
        });
  }

  #isNews(endpoint: DockerEndpointRecord): boolean {
    const known: Container | undefined = this.around.inventory.containers.get(endpoint.containerId ?? "");
    if (!known || known.partial) return false;
    const shared = this.#sharedOf(endpoint);
    const stored = this.parts.cluster.withId(shared.network, shared.id);
    return stored !== undefined && !sameData(stored, this.#withFreeName(shared, stored));
  }

  /** Under the name that it has in the store, while somebody else has its own. */
  #withFreeName(shared: SharedEndpoint, stored: SharedEndpoint): SharedEndpoint {
    const holder = this.parts.cluster.named(shared.network, shared.name);
    const isRefused = this.#refused.get(shared.id) === shared.name && holder !== undefined && holder.id !== shared.id;
    return isRefused ? { ...shared, name: stored.name } : shared;
  }

  async #tell(endpoint: DockerEndpointRecord): Promise<void> {
    const own = this.#sharedOf(endpoint);
    const stored = this.parts.cluster.withId(own.network, own.id);
    const shared = stored ? this.#withFreeName(own, stored) : own;
    try {
      await this.parts.cluster.change(shared);
      if (shared === own) this.#refused.delete(endpoint.id);
    } catch (error) {
      if (errorCode(error) !== "ENDPOINT_NAME_TAKEN") throw error;
      this.#refused.set(endpoint.id, shared.name);
      this.parts.log.error(
        { container: shared.name, reason: describeError(error) },
        "other hosts do not find a container by its name: give it another one",
      );
    }
  }

  async cutOff(id: string, reason: string): Promise<void> {
    const { records, reconciler, overlays, log } = this.parts;
    const endpoint = records.endpoints.get(id);
    if (endpoint?.path === undefined) return;
    const { shared } = records.networks.get(endpoint.network) ?? {};
    try {
      records.put("docker-endpoint", withoutPath(endpoint));
      await reconciler.change({ removed: { handovers: [id] } });
      if (shared !== undefined) await overlays.leave([shared]);
    } catch (error) {
      log.warn({ reason: describeError(error) }, "a container could not be cut off from a network as a whole");
    }
    log.error(
      { container: endpoint.container, reason },
      "a container is cut off from a network of several hosts; start it again",
    );
  }
}
