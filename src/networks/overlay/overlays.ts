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
import { encryptedAddress, nameOfMaker, wireguardHosts } from "../../cluster/wireguard.js";
import { encryptionMissing, localOf, overlayRecord, sharedEndpoint } from "./define-overlay.js";
import { noEngineEndpoints, type EngineEndpoints } from "./engine-endpoints.js";
import { allNeighbours, neighbourChanges } from "./neighbours.js";
import { Soon } from "./soon.js";

export interface OverlayParts {
  readonly registry: Registry;
  readonly reconciler: Reconciler;
  readonly addresses: NetworkAddresses;
  readonly log: Logger;
  /** What a container engine has on them; undefined without one. */
  engine(): EngineEndpoints | undefined;
  /** Tells the inventory what is registered by now. */
  tell(): void;
}

/** ms in which a host hears of what it has done itself, unless the store has lost it. */
const heardWithin = 10_000;
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
  /** Networks that were made here, and have not been heard of from the store yet; and when, ms of the monotonic clock. */
  readonly #fresh = new Map<string, number>();
  /** What the kernel has not been told yet, in order. */
  #untold: NeighbourChange[] = [];
  readonly #telling = this.#soon("endpoints of other hosts could not be told to the kernel", () => this.#tellKernel());
  readonly #tunnelling = this.#soon("hosts that encrypted networks lead to could not be told to the kernel", () =>
    this.#setTunnel(this.#cluster!),
  );
  readonly #syncing = this.#soon("networks of other hosts could not be taken up", () => this.#sync());
  readonly #comparing = this.#soon("this host's names and addresses could not be compared with the store", () =>
    this.#settle(),
  );
  #later: NodeJS.Timeout | undefined;

  constructor(private readonly parts: OverlayParts) {}

  get #engine(): EngineEndpoints {
    return this.parts.engine() ?? noEngineEndpoints;
  }

  /** Undefined where networks are shared with no other hosts. */
  get cluster(): Cluster | undefined {
    return this.#cluster;
  }

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

  /** A network of all hosts, by name, id, or the beginning of an id. Throws NETWORK_UNKNOWN. */
  requireNetwork(nameOrId: string): NetworkRecord {
    const network = this.parts.registry.network(nameOrId);
    if (network.overlay) return network;
    throw new PontoonError(
      "NETWORK_UNKNOWN",
      nameOrId,
      `network ${network.name} is one of this host alone; \`pontoon network ls\` shows those of all hosts as overlay`,
    );
  }

  /** This host's claims are compared with the store; where that is out of reach, when it has joined again. Returns at once. */
  compareSoon(): void {
    if (this.#cluster?.isJoined === true) this.#comparing.ask();
  }

  /** Whether all hosts' dockerds have a network; one that dockerd has not named is left of one that it could not make. */
  isDockers(network: string): boolean {
    return this.#cluster?.mirror.networks.get(network)?.docker?.isNamed === true;
  }

  /** What encrypts on this host, in words; undefined where nothing does. */
  get encryption(): string | undefined {
    const wireguard = this.#cluster?.wireguard;
    return wireguard && nameOfMaker(wireguard.by);
  }

  /** Whether a program has to be started for it. */
  get startsProgram(): boolean {
    return (this.#cluster?.wireguard?.by ?? "kernel") !== "kernel";
  }

  /** Throws ENCRYPTION_MISSING where this host cannot encrypt. @param network its name */
  requireEncryption(network: string): void {
    if (!this.#cluster?.wireguard) throw encryptionMissing(network);
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
    const network = overlayRecord(await cluster.createNetwork(define), cluster.host);
    if (!cluster.mirror.networks.has(network.id)) this.#fresh.set(network.id, performance.now());
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
    if (known) return known;
    const docker = this.#engine.dockerOf(id);
    const { vni, isEncrypted } = overlay!;
    const more = { ...(isEncrypted && { isEncrypted }), ...(docker && { docker }) };
    return { id, name, created, subnets, internal, masquerade, mtu, labels, vni, ...more };
  }

  /**
   * Takes an endpoint's name and addresses before it is registered.
   * @returns addresses that somebody else has. Rejects as {@link Cluster.claim}, and with CLUSTER_OFF, ENCRYPTION_MISSING.
   */
  async claim(endpoint: EndpointRecord, sandbox: SandboxRecord): Promise<readonly string[]> {
    const cluster = this.requireCluster();
    const network = this.parts.registry.networks.get(endpoint.network);
    if (network?.overlay?.isEncrypted) this.requireEncryption(network.name);
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
    await this.leave(owed.map(({ network }) => network));
  }

  /** Endpoints have gone from these networks: one that has no more here is taken away from this host. Never rejects. */
  async leave(networks: readonly string[]): Promise<void> {
    const left = new Set(networks.filter((id) => !this.parts.reconciler.isUsed(id)));
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
    const [cluster, { reconciler }] = [this.#cluster, this.parts];
    if (!network.overlay || !cluster || reconciler.isUsed(network.id)) return;
    if (network.overlay.isEncrypted) await this.#setTunnel(cluster);
    await reconciler.neighbours([this.#allNeighbours(cluster, network.id)]);
    await reconciler.change({ networks: [reconciler.wantedNetwork(network)] });
  }

  /** What is known of other hosts is told to the kernel, before links are looked at. To be called in a turn. */
  async begin(): Promise<void> {
    const [cluster, { registry, reconciler }] = [this.#cluster, this.parts];
    if (!cluster) return;
    for (const network of registry.networks.values()) {
      const local = network.overlay && localOf(network.overlay, cluster.host);
      if (network.overlay && local !== undefined && network.overlay.local !== local)
        registry.commit({ networks: [{ ...network, overlay: { ...network.overlay, local } }] });
    }
    const here = [...registry.networks.values()].filter(({ id, overlay }) => overlay && reconciler.isUsed(id));
    if (here.length > 0) await reconciler.neighbours(here.map(({ id }) => this.#allNeighbours(cluster, id)));
    if (this.#isEncryptedHere) await this.#setTunnel(cluster);
  }

  #allNeighbours({ mirror, host }: Cluster, network: string): NeighbourChange {
    return allNeighbours(mirror, host.id, network, (id) => this.#isEncrypted(id));
  }

  #isEncrypted(network: string): boolean {
    return this.parts.registry.networks.get(network)?.overlay?.isEncrypted ?? false;
  }

  /** Whether an endpoint here is on an encrypted network. */
  get #isEncryptedHere(): boolean {
    const { registry, reconciler } = this.parts;
    return [...registry.networks.values()].some(({ id, overlay }) => overlay?.isEncrypted && reconciler.isUsed(id));
  }

  /** The kernel is told how encrypted packets get to other hosts. To be called in a turn. */
  async #setTunnel({ wireguard, host, mirror }: Cluster): Promise<void> {
    const address = encryptedAddress(host);
    if (!wireguard || address === undefined) return;
    const { by, privateKey, port } = wireguard;
    const peers = wireguardHosts(mirror.hosts.values(), host);
    await this.parts.reconciler.setTunnel({ by, privateKey, port, address, peers });
  }

  /** The cluster's state is otherwise. Returns at once. */
  onChange(change: MirrorChange): void {
    const [cluster, { registry }] = [this.#cluster, this.parts];
    if (!cluster) return;
    this.#noteAddresses(change);
    for (const id of change.networks) this.#fresh.delete(id);
    if (change.networks.size > 0) this.#syncing.ask();
    if (change.hosts.size > 0 && this.#isEncryptedHere) this.#tunnelling.ask();
    const isEncrypted = (id: string) => cluster.mirror.networks.get(id)?.isEncrypted ?? this.#isEncrypted(id);
    this.#untold.push(...neighbourChanges(cluster.mirror, cluster.host.id, change, isEncrypted));
    if (this.#untold.length > 0) this.#telling.ask();
    // It may have been claimed later than that was given up.
    const own = change.endpoints.flatMap(({ now }) => (now?.host === cluster.host.id ? [now.id] : []));
    const hasFreed = change.endpoints.some(({ before, now }) => before !== undefined && before.name !== now?.name);
    if (own.length > 0 || hasFreed) this.#engine.endpointsHaveChanged(new Set(own));
    const isOurs = (id: string) => registry.endpoints.has(id) || this.#engine.has(id);
    const isStray = change.endpoints.some(({ now }) => now?.host === cluster.host.id && !isOurs(now.id));
    const isLost = change.endpoints.some(
      ({ before, now }) => before?.host === cluster.host.id && now?.id !== before.id && isOurs(before.id),
    );
    if (isStray || isLost) this.#comparing.ask();
    const isGone = change.endpoints.some(({ now }) => now === undefined);
    if (isGone && [...registry.endpoints.values()].some(({ cutOff }) => cutOff !== undefined)) this.#comparing.ask();
  }

  /** To be called in a turn: a network may be coming here, and its first endpoint be registered only then. */
  async #tellKernel(): Promise<void> {
    const { reconciler } = this.parts;
    const here = this.#untold.splice(0).filter(({ network }) => reconciler.isUsed(network));
    if (here.length > 0) await reconciler.neighbours(here);
  }

  /** Addresses that other hosts have, or containers of this one, are not tried here. */
  #noteAddresses({ endpoints }: MirrorChange): void {
    const [cluster, { addresses }] = [this.#cluster!, this.parts];
    for (const { before } of endpoints)
      if (before && isElsewhere(before, cluster)) addresses.release(before.network, before);
    for (const { now } of endpoints)
      if (now && isElsewhere(now, cluster)) this.noteTaken(now.network, addressesOf(now), ownerOf(now, cluster));
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
    // All that the store had is known by now; what was made a moment ago may be on its way still.
    for (const [id, since] of this.#fresh) if (performance.now() - since > heardWithin) this.#fresh.delete(id);
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
    const gone = [...registry.networks.values()].filter(
      ({ id, overlay }) =>
        overlay &&
        !networks.has(id) &&
        !this.#fresh.has(id) &&
        !this.#lost.has(id) &&
        !this.parts.reconciler.isUsed(id),
    );
    if (gone.length > 0) registry.commit({ removed: { networks: gone.map(({ id }) => id) } });
    for (const { id } of gone) this.parts.addresses.remove(id);
    for (const shared of networks.values()) {
      const known = registry.networks.get(shared.id);
      if (known?.name === shared.name) continue;
      const namesake = registry.networkNamed(shared.name);
      if (namesake)
        log.warn(
          { network: shared.name },
          "a network of other hosts is not to be had here: a network of this host's has its name; remove that one",
        );
      else if (known) registry.commit({ networks: [{ ...known, name: shared.name }] });
      else this.#takeUp(shared, cluster!);
    }
    this.parts.tell();
    this.#engine.networksHaveChanged();
    return Promise.resolve();
  }

  /** What another host has written may make no sense: no other network is the worse for it. */
  #takeUp(shared: SharedNetwork, { host }: Cluster): void {
    try {
      this.#register(overlayRecord(shared, host));
    } catch (error) {
      const reason = describeError(error);
      this.parts.log.warn({ network: shared.name, reason }, "a network of other hosts cannot be had here");
    }
  }

  /** First what may fail: what is registered is there at the next start. */
  #register(network: NetworkRecord): void {
    this.addAddresses(network);
    this.parts.registry.commit({ networks: [network] });
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
      if (isElsewhere(endpoint, cluster!))
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
    const engines = this.#engine.shared();
    for (const id of new Set([...own, ...engines].map(({ network }) => network))) {
      const network = registry.networks.get(id);
      if (network) await cluster.restoreNetwork(this.#shared(network), overlapping);
    }
    const shared = own.map((endpoint) => sharedEndpoint(endpoint, registry.sandbox(endpoint.sandbox), cluster.host.id));
    const conflicts = await cluster.settle([...shared, ...engines]);
    await this.#engine.settleAddresses();
    await this.#cutOff(own, conflicts);
    for (const { endpoint, reason } of conflicts)
      if (this.#engine.has(endpoint.id)) await this.#engine.cutOff(endpoint.id, reason);
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

/** Its addresses are not sandboxes' of this host. */
function isElsewhere({ host, reserved }: SharedEndpoint, cluster: Cluster): boolean {
  return host !== cluster.host.id || reserved === true;
}

const overlapping = (one: string, other: string): boolean => Subnet.parse(one).overlaps(Subnet.parse(other));
