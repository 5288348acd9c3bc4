import type { Logger } from "pino";
import { describeError, PontoonError } from "../../../common/errors.js";
import type { Cluster, Conflict } from "../../cluster/cluster.js";
import type { MirrorChange } from "../../cluster/mirror.js";
import { addressesOf } from "../../cluster/addresses.js";
import type { SharedEndpoint, SharedNetwork, TakenSubnets } from "../../cluster/records.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import type { NeighbourChange } from "../../../network/wanted.js";
import type { NetworkAddresses } from "../network-addresses.js";
import type { Reconciler } from "../reconciler.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../records.js";
import type { Registry } from "../registry.js";
import { overlayRecord, sharedEndpoint } from "./define-overlay.js";
import { allNeighbours, neighbourChanges } from "./neighbours.js";
import { Soon } from "./soon.js";

export interface OverlayParts {
  readonly registry: Registry;
  readonly reconciler: Reconciler;
  readonly addresses: NetworkAddresses;
  readonly log: Logger;
  /** Tells the inventory what is registered by now. */
  tell(): void;
}

/** ms until claims are compared again that could not be. */
const settleAgainAfter = 3_000;

/** Networks that are on several hosts: what is registered here follows what all have agreed on. */
export class Overlays {
  /** Of endpoints that are about to go, what they have claimed. */
  readonly #owed = new Map<string, SharedEndpoint>();

  /** What the store has lost, by id, until it is put back. */
  readonly #lost = new Map<string, SharedNetwork>();

  /** Undefined where this host shares a store with no others. */
  #cluster: Cluster | undefined;
  /** What the kernel has not been told yet, in order. */
  #untold: NeighbourChange[] = [];
  readonly #telling = this.#soon("endpoints of other hosts could not be told to the kernel", () => this.#tellKernel());
  readonly #syncing = this.#soon("networks of other hosts could not be taken up", () => this.#sync());
  readonly #comparing = this.#soon("this host's names and addresses could not be compared with the store", () =>
    this.#settle(),
  );
  #later: NodeJS.Timeout | undefined;

  constructor(private readonly parts: OverlayParts) {}

  /** From now on networks are shared with other hosts. */
  use(cluster: Cluster): void {
    this.#cluster = cluster;
  }

  /** Throws CLUSTER_OFF where there are no other hosts, CLUSTER_AWAY and the like while they are out of reach. */
  requireCluster(): Cluster {
    const cluster = this.#cluster;
    if (!cluster)
      throw new PontoonError(
        "CLUSTER_OFF",
        "overlay",
        "an overlay network is shared with other hosts, and this daemon shares a store with none; start it with --store etcd://HOST:2379",
      );
    cluster.requireJoined();
    return cluster;
  }

  /** Whether endpoints are on a network, on any host; true where that cannot be known for now. */
  isUsed(network: string): boolean {
    return (this.#cluster?.mirror.endpointsOn(network).size ?? 1) > 0;
  }

  /**
   * Makes a network on all hosts. @param define what it is on this one, told which subnets are taken
   * Rejects as {@link Cluster.createNetwork}, with what `define` throws, and CLUSTER_OFF.
   */
  async create(define: (taken: TakenSubnets) => SharedNetwork): Promise<NetworkRecord> {
    const cluster = this.requireCluster();
    const network = overlayRecord(await cluster.createNetwork(define), cluster.host.advertise);
    this.#register(network);
    return network;
  }

  /** Removes a network on all hosts. Rejects as {@link Cluster.removeNetwork}, and with CLUSTER_OFF. */
  async remove(network: NetworkRecord): Promise<void> {
    await this.requireCluster().removeNetwork(this.#shared(network));
  }

  #shared({ id, overlay, ...network }: NetworkRecord): SharedNetwork {
    const { name, created, subnets, internal, masquerade, mtu, labels } = network;
    const known = this.#cluster?.mirror.networks.get(id);
    return known ?? { id, name, created, subnets, internal, masquerade, mtu, labels, vni: overlay!.vni };
  }

  /**
   * Takes an endpoint's name and addresses before it is registered.
   * @returns addresses that somebody else has. Rejects as {@link Cluster.claim}, and with CLUSTER_OFF.
   */
  async claim(endpoint: EndpointRecord, sandbox: SandboxRecord): Promise<readonly string[]> {
    const cluster = this.requireCluster();
    try {
      const claimed = await cluster.claim(sharedEndpoint(endpoint, sandbox, cluster.host.id));
      return claimed.kind === "done" ? [] : claimed.ips;
    } catch (error) {
      this.#comparing.ask(); // it may be claimed all the same
      throw error;
    }
  }

  /** These are about to go. @param sandbox where it may not be registered */
  owe(endpoint: EndpointRecord, sandbox = this.parts.registry.sandboxes.get(endpoint.sandbox)): void {
    const [cluster, { registry }] = [this.#cluster, this.parts];
    if (cluster && sandbox && registry.networks.get(endpoint.network)?.overlay)
      this.#owed.set(endpoint.id, sharedEndpoint(endpoint, sandbox, cluster.host.id));
  }

  /** Of endpoints that have gone: others may have what they had. Never rejects. */
  async release(endpoints: readonly Pick<EndpointRecord, "id">[]): Promise<void> {
    const owed = endpoints.flatMap(({ id }) => this.#owed.get(id) ?? []);
    for (const { id } of owed) this.#owed.delete(id);
    if (owed.length > 0 && (await this.#cluster?.release(owed)) === false) this.#settleLater();
    const left = new Set(owed.map(({ network }) => network).filter((id) => this.parts.registry.endpointsOn(id) === 0));
    if (left.size === 0) return;
    try {
      await this.parts.reconciler.change({ removed: { networks: [...left] } });
    } catch (error) {
      this.parts.log.warn(
        { reason: describeError(error) },
        "an overlay network could not be taken away from this host",
      );
    }
  }

  /** What an endpoint's network needs of the kernel, beside the endpoint: it is here with the first one. */
  async ground(network: NetworkRecord): Promise<void> {
    const [cluster, { reconciler, registry }] = [this.#cluster, this.parts];
    if (!network.overlay || !cluster || registry.endpointsOn(network.id) > 0) return;
    await reconciler.neighbours([allNeighbours(cluster.mirror, cluster.host.id, network.id)]);
    await reconciler.change({ networks: [reconciler.wantedNetwork(network)] });
  }

  /** What is known of other hosts is told to the kernel, before links are looked at. To be called in a turn. */
  async begin(): Promise<void> {
    const [cluster, { registry, reconciler }] = [this.#cluster, this.parts];
    if (!cluster) return;
    for (const network of registry.networks.values())
      if (network.overlay && network.overlay.local !== cluster.host.advertise)
        registry.commit({ networks: [{ ...network, overlay: { ...network.overlay, local: cluster.host.advertise } }] });
    const here = [...registry.networks.values()].filter(({ id, overlay }) => overlay && registry.endpointsOn(id) > 0);
    if (here.length > 0)
      await reconciler.neighbours(here.map(({ id }) => allNeighbours(cluster.mirror, cluster.host.id, id)));
  }

  /** The cluster's state is otherwise. Returns at once. */
  onChange(change: MirrorChange): void {
    const [cluster, { registry }] = [this.#cluster, this.parts];
    if (!cluster) return;
    this.#noteAddresses(change);
    if (change.networks.size > 0) this.#syncing.ask();
    this.#untold.push(...neighbourChanges(cluster.mirror, cluster.host.id, change));
    if (this.#untold.length > 0) this.#telling.ask();
    // It may have been claimed later than that was given up.
    const isStray = change.endpoints.some(
      ({ now }) => now?.host === cluster.host.id && !registry.endpoints.has(now.id),
    );
    const isLost = change.endpoints.some(
      ({ before, now }) =>
        before?.host === cluster.host.id && now?.id !== before.id && registry.endpoints.has(before.id),
    );
    if (isStray || isLost) this.#comparing.ask();
    const hasFreed = change.endpoints.some(({ now }) => now === undefined);
    if (hasFreed && [...registry.endpoints.values()].some(({ cutOff }) => cutOff !== undefined)) this.#comparing.ask();
  }

  /** To be called in a turn: a network may be coming here, and its first endpoint be registered only then. */
  async #tellKernel(): Promise<void> {
    const { registry, reconciler } = this.parts;
    const here = this.#untold.splice(0).filter(({ network }) => registry.endpointsOn(network) > 0);
    if (here.length > 0) await reconciler.neighbours(here);
  }

  /** Addresses that other hosts have are not tried here. */
  #noteAddresses({ endpoints }: MirrorChange): void {
    const [cluster, { addresses }] = [this.#cluster, this.parts];
    for (const { before } of endpoints)
      if (before && before.host !== cluster!.host.id) addresses.release(before.network, before);
    for (const { now } of endpoints)
      if (now && now.host !== cluster!.host.id) this.noteTaken(now.network, addressesOf(now), ownerOf(now, cluster!));
  }

  /** Somebody else has these addresses. */
  noteTaken(network: string, ips: readonly string[], owner = "an endpoint of another host"): void {
    this.parts.addresses.note(network, ips, owner);
  }

  /** The store has lost these: they are put back with what is on them. Returns at once. */
  onNetworksLost(networks: readonly SharedNetwork[]): void {
    for (const network of networks) this.#lost.set(network.id, network);
  }

  /** A network of this host's alone is gone: one of other hosts may have had its name. Returns at once. */
  onNameFree(name: string): void {
    for (const shared of this.#cluster?.mirror.networks.values() ?? []) if (shared.name === name) this.#syncing.ask();
  }

  /** This host's claims are to be compared: it has joined, or joined again. Returns at once. */
  onJoined(): void {
    this.#syncing.ask();
    this.#comparing.ask();
  }

  /** The store may be out of reach for so short a time that nobody tells when it is there again. */
  #settleLater(): void {
    this.#later ??= setTimeout(() => {
      this.#later = undefined;
      this.#comparing.ask();
    }, settleAgainAfter);
  }

  /** Nothing is compared of itself any more. Can be called twice. */
  stop(): void {
    clearTimeout(this.#later);
    this.#later = undefined;
  }

  #soon(what: string, work: () => Promise<void>): Soon {
    return new Soon((turn) => void this.parts.reconciler.background(what, turn), work);
  }

  /** Registers networks that other hosts have made, and forgets those that they have removed. */
  #sync(): Promise<void> {
    const [cluster, { registry, log }] = [this.#cluster, this.parts];
    const { networks } = cluster!.mirror;
    for (const shared of networks.values()) {
      if (registry.networks.has(shared.id)) continue;
      const namesake = registry.networkNamed(shared.name);
      if (namesake)
        log.warn(
          { network: shared.name },
          "a network of other hosts is not to be had here: a network of this host's has its name; remove that one",
        );
      else this.#register(overlayRecord(shared, cluster!.host.advertise));
    }
    const gone = [...registry.networks.values()].filter(
      ({ id, overlay }) => overlay && !networks.has(id) && registry.endpointsOn(id) === 0,
    );
    if (gone.length > 0) registry.commit({ removed: { networks: gone.map(({ id }) => id) } });
    for (const { id } of gone) this.parts.addresses.remove(id);
    this.parts.tell();
    return Promise.resolve();
  }

  #register(network: NetworkRecord): void {
    this.parts.registry.commit({ networks: [network] });
    this.addAddresses(network);
  }

  /** From now on addresses of it are given out. */
  addAddresses(network: NetworkRecord): void {
    const [cluster, { addresses, registry }] = [this.#cluster, this.parts];
    addresses.add(
      network,
      registry.endpointsOf({ network: network.id }),
      ({ sandbox }) => `sandbox ${registry.sandboxes.get(sandbox)?.name}`,
    );
    for (const { endpoint } of cluster?.mirror.endpointsOn(network.id).values() ?? [])
      if (endpoint.host !== cluster!.host.id)
        this.noteTaken(network.id, addressesOf(endpoint), ownerOf(endpoint, cluster!));
  }

  /** Has the store say what this host has. What somebody else has by now is cut off here. */
  async #settle(): Promise<void> {
    const cluster = this.#cluster;
    cluster!.requireJoined(); // when it has joined again there is another turn
    try {
      await this.#compare(cluster!);
    } catch (error) {
      this.#settleLater();
      throw error;
    }
  }

  async #compare(cluster: Cluster): Promise<void> {
    const { registry } = this.parts;
    for (const [id, network] of this.#lost) {
      await cluster.restoreNetwork(network, overlapping);
      this.#lost.delete(id);
    }
    const own = [...registry.endpoints.values()].filter(({ network }) => registry.networks.get(network)?.overlay);
    for (const id of new Set(own.map(({ network }) => network)))
      await cluster.restoreNetwork(this.#shared(registry.networks.get(id)!), overlapping);
    const shared = own.map((endpoint) => sharedEndpoint(endpoint, registry.sandbox(endpoint.sandbox), cluster.host.id));
    const conflicts = await cluster.settle(shared);
    await this.#cutOff(own, conflicts);
  }

  async #cutOff(own: readonly EndpointRecord[], conflicts: readonly Conflict[]): Promise<void> {
    const { registry, reconciler, log } = this.parts;
    const reasons = new Map(conflicts.map(({ endpoint, reason }) => [endpoint.id, reason]));
    for (const { cutOff: before, ...endpoint } of own) {
      const reason = reasons.get(endpoint.id);
      if (reason === before) continue;
      registry.commit({ endpoints: [{ ...endpoint, ...(reason !== undefined && { cutOff: reason }) }] });
      const name = registry.sandbox(endpoint.sandbox).name;
      try {
        await reconciler.change({
          ...(reason !== undefined && { removed: { endpoints: [endpoint.id] } }),
          endpoints: reconciler.wantedEndpointsOf(endpoint.sandbox),
        });
      } catch (error) {
        log.warn({ sandbox: name, reason: describeError(error) }, "a sandbox could not be cut off, or connected again");
      }
      if (reason === undefined) log.info({ sandbox: name }, "a sandbox that was cut off is on its network again");
      else
        log.error({ sandbox: name, reason }, "a sandbox is cut off from a network of several hosts; connect it anew");
    }
    this.parts.tell();
  }
}

function ownerOf({ name, host }: SharedEndpoint, { mirror }: Cluster): string {
  return `${name} on host ${mirror.hosts.get(host)?.name ?? host.slice(0, 12)}`;
}

const overlapping = (one: string, other: string): boolean => Subnet.parse(one).overlaps(Subnet.parse(other));
