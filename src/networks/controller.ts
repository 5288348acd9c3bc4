import { setImmediate as others } from "node:timers/promises";
import type { Logger } from "pino";
import { describeError, errorCode } from "../../common/errors.js";
import type { Poller } from "../../linux/poller.js";
import type { Elsewhere } from "../../network/protocol.js";
import type { KernelForward } from "../../network/firewall/wanted.js";
import type { Cluster } from "../cluster/cluster.js";
import type { Change } from "../inventory/inventory.js";
import type { Source } from "../inventory/source.js";
import type { Store } from "../store/store.js";
import { Attachments, type AttachSurroundings } from "./cni/attachments.js";
import { EngineCalls, type EngineReply } from "./cni/engine-calls.js";
import { AdoptedContainers } from "./adopted-containers.js";
import { networkAnswer, sandboxAnswer } from "./answers.js";
import type {
  ConnectRequest,
  CreateNetworkRequest,
  CreateSandboxRequest,
  DisconnectRequest,
  NetworkAnswer,
  NetworkLinksAnswer,
  PairRequest,
  SandboxAnswer,
} from "./contract.js";
import type { DockersContainers, DockersNetworks } from "./dockers-networks.js";
import { Endpoints } from "./endpoints.js";
import { HostWatches } from "./host-watches.js";
import { hasLeftNetworks } from "./host-facts.js";
import { Announcer } from "./inventory-source.js";
import type { NetworkDefaults } from "./network-defaults.js";
import { Leases } from "./leases.js";
import { NetworkAddresses } from "./network-addresses.js";
import { linkVariables } from "./link-variables.js";
import { networkLinks } from "./network-links.js";
import { Networks } from "./networks.js";
import { networksStatus, type NetworksStatus } from "./networks-status.js";
import { EngineCluster } from "./overlay/engine-cluster.js";
import { Overlays } from "./overlay/overlays.js";
import { pairSandboxes } from "./pair-sandboxes.js";
import type { PluginSurroundings } from "./plugin/parts.js";
import { enginesPart, Plugin } from "./plugin/plugin.js";
import { PluginRegistry } from "./plugin/plugin-registry.js";
import { PrefixFollower } from "./prefix-follower.js";
import { Reconciler } from "./reconciler.js";
import { Registry } from "./registry.js";
import { Remote } from "./remote/remote.js";
import { Renewal } from "./remote/renewal.js";
import { writeSandboxFiles } from "./sandbox-files.js";
import { SandboxKeeper } from "./sandbox-keeper.js";
import { Sandboxes } from "./sandboxes.js";

/** Sandboxes that are dealt with before others have their turn: some milliseconds' worth. */
const atOnce = 16;

/** The network backend role: pontoon's own networks, sandboxes and endpoints. Commands are carried out one after the other. */
export class NetworksController {
  readonly #registry: Registry;
  readonly #records: PluginRegistry;
  readonly #plugin: Plugin | undefined;
  readonly #announcer: Announcer;
  readonly #reconciler: Reconciler;
  readonly #remote: Remote;
  readonly #renewal: Renewal;
  readonly #overlays: Overlays;
  readonly #networks: Networks;
  readonly #leases: Leases;
  readonly #endpoints: Endpoints;
  readonly #containers: AdoptedContainers;
  readonly #sandboxes: Sandboxes;
  readonly #watches: HostWatches;
  readonly #follower: PrefixFollower;
  readonly #keeper: SandboxKeeper;
  readonly #attachments: Attachments;
  readonly #calls: EngineCalls;

  constructor(
    poller: Poller,
    store: Store,
    dockers: DockersNetworks & DockersContainers,
    private readonly defaults: NetworkDefaults,
    private readonly log: Logger,
    source: Source,
    attaching: AttachSurroundings,
    /** Undefined where dockerd is to have no driver of ours. */
    plugin?: PluginSurroundings,
  ) {
    const addresses = new NetworkAddresses();
    this.#registry = new Registry(store, (touched) => this.#announcer.note(touched));
    this.#announcer = new Announcer(source, this.#registry);
    this.#records = new PluginRegistry(store);
    const engine = enginesPart(this.#records, () => this.#plugin);
    this.#reconciler = new Reconciler(this.#registry, engine, dockers, defaults, log);
    const [records, registry, reconciler] = [this.#records, this.#registry, this.#reconciler];
    const onChanged = () => this.#tell();
    this.#remote = new Remote({ store, registry, reconciler, log });
    this.#renewal = new Renewal(this.#remote, reconciler, () => this.#tell());
    const engineEndpoints = () => this.#plugin?.sharedEndpoints;
    const overlays = new Overlays({ registry, reconciler, addresses, log, tell: onChanged, engine: engineEndpoints });
    this.#overlays = overlays;
    const shared = { overlays, cluster: new EngineCluster(overlays) };
    const parts = { records, registry, reconciler, docker: dockers, defaults, log, onChanged, ...shared };
    this.#plugin = plugin && new Plugin(parts, plugin);
    this.#networks = new Networks(registry, reconciler, addresses, dockers, defaults, this.#remote, overlays);
    this.#leases = new Leases({
      poller,
      registry: this.#registry,
      reconciler: this.#reconciler,
      log,
      onChanged: (sandbox) => {
        this.#sandboxes.writeFiles(sandbox);
        this.#tell();
      },
      movePorts: (endpoint, to) => attaching.ports.move(endpoint, to),
    });
    this.#endpoints = new Endpoints(registry, reconciler, addresses, dockers, this.#leases, this.#remote, overlays);
    this.#containers = new AdoptedContainers(this.#registry, this.#reconciler, dockers, log);
    this.#sandboxes = new Sandboxes({
      registry: this.#registry,
      reconciler: this.#reconciler,
      networks: this.#networks,
      endpoints: this.#endpoints,
      containers: this.#containers,
      docker: dockers,
      defaults,
      log,
    });
    this.#follower = new PrefixFollower({
      registry: this.#registry,
      reconciler: this.#reconciler,
      networks: this.#networks,
      sandboxes: this.#sandboxes,
      addresses,
      log,
    });
    this.#watches = new HostWatches(poller, reconciler, { registry, records, defaults }, this.#follower, onChanged);
    this.#keeper = new SandboxKeeper(this.#registry, this.#reconciler, log, () => this.#onLooked());
    this.#attachments = new Attachments(
      {
        registry: this.#registry,
        reconciler: this.#reconciler,
        networks: this.#networks,
        endpoints: this.#endpoints,
        sandboxes: this.#sandboxes,
        leases: this.#leases,
        log,
        command: (work) => this.#command(work),
        tell: () => this.#announcer.tell(), // in the middle of a command, whose links are not there yet
      },
      attaching,
    );
    this.#calls = new EngineCalls(this.#attachments);
  }

  /** From now on networks are shared with other hosts: to be called before {@link load}. */
  useCluster(cluster: Cluster): void {
    this.#overlays.use(cluster);
  }

  /** As `ClusterListener` has it. */
  get clusterListener(): Pick<Overlays, "onChange" | "onNetworksLost" | "onJoined"> {
    return this.#overlays;
  }

  /** Makes what has to be made before servers are started. */
  prepare(): void {
    this.#reconciler.prepare(this.#overlays.startsProgram);
  }

  /** What stands in firewall tables of others, as it was last seen. */
  get elsewhere(): Elsewhere {
    return this.#reconciler.elsewhere;
  }

  get status(): NetworksStatus {
    const { off, tunnelTrouble } = this.#reconciler;
    return {
      ...networksStatus(this.#registry, off, this.#plugin?.status, this.#remote.due),
      ...(tunnelTrouble !== undefined && { tunnelTrouble }),
    };
  }

  /** dockerd is followed, and all of it is known. */
  dockerIsKnown(): void {
    void this.#plugin?.dockerIsKnown();
  }

  /** Docker's networks may be others than before. */
  dockerHasChanged(): void {
    this.#reconciler.dockerHasChanged();
  }

  /** As {@link Plugin.inventoryHasChanged}. */
  inventoryHasChanged(change: Change): void {
    this.#plugin?.inventoryHasChanged(change);
  }

  /** Docker's containers may be others than before. @param ids all without */
  containersHaveChanged(ids?: ReadonlySet<string>): void {
    this.#containers.review(ids, this.#sandboxes, () => this.#tell());
  }

  /** Reads what there is to be, before anything is started. Without a store that can be read there are no networks. */
  load(): void {
    try {
      this.#registry.load();
      this.#records.load();
      this.#plugin?.load();
      this.#remote.load();
    } catch (error) {
      if (errorCode(error) !== "STORE_UNREADABLE") throw error;
      this.#reconciler.begin(error as Error);
      this.log.error({ reason: describeError(error) }, "networks and sandboxes are left as they are");
      return;
    }
    this.#reconciler.begin(undefined);
    if (!this.defaults.firewall)
      this.log.info({ troubles: this.elsewhere.troubles }, "no network has rules in the host's firewall");
    this.#attachments.ends.forgetGone();
    this.#leases.forgetExpired();
    for (const network of this.#registry.networks.values()) this.#networks.addAddresses(network);
  }

  /** Brings about what is to be, and mends what is not as it should be. Never rejects. */
  start(): Promise<void> {
    if (this.#reconciler.off === undefined) this.#remote.start();
    if (this.#registry.isEmpty && this.#records.isEmpty && !hasLeftNetworks()) return Promise.resolve();
    return this.#reconciler.background("networks could not be set up", async () => {
      try {
        await this.#overlays.begin();
        await this.#reconciler.bringAbout();
        await this.#follower.follow();
        await this.#writeAllFiles();
      } catch (error) {
        this.log.error({ reason: describeError(error) }, "networks could not be set up");
      }
      while (!this.#announcer.tellSome(atOnce)) await others();
      this.#tell();
    });
  }

  /** Answers dockerd from now on; what it asks for is done after everything that was to be done before. */
  async serve(): Promise<void> {
    await this.#plugin?.start();
  }

  /** Answers what dockerd has asked for, and nothing more. Can be called twice. */
  async stopServing(): Promise<void> {
    await this.#plugin?.stop();
  }

  async #writeAllFiles(): Promise<void> {
    for (const [index, sandbox] of [...this.#registry.sandboxes.values()].entries()) {
      if (index % atOnce === atOnce - 1) await others();
      writeSandboxFiles(this.#registry, sandbox);
    }
  }

  /** Leaves everything as it is. Can be called twice. */
  async stop(): Promise<void> {
    this.#leases.stop(); // what waits for one is taken back before there are no more turns
    await this.stopServing();
    this.#renewal.stop();
    await this.#remote.stop();
    await this.#reconciler.stop();
    this.#overlays.stop();
    this.#keeper.stop();
    await this.#watches.stop();
  }

  networks(): NetworkAnswer[] {
    return this.#networks.list();
  }

  network(nameOrId: string): NetworkAnswer {
    return this.#networks.inspect(nameOrId);
  }

  /** @param nameOrId all networks without */
  links(nameOrId: string | undefined): NetworkLinksAnswer[] {
    const { networks } = this.#registry;
    return networkLinks(
      this.#registry,
      nameOrId === undefined ? [...networks.values()] : [this.#registry.network(nameOrId)],
    );
  }

  createNetwork(request: CreateNetworkRequest): Promise<NetworkAnswer> {
    return this.#command(async () => this.#networks.answer(await this.#networks.create(request)));
  }

  removeNetwork(nameOrId: string): Promise<NetworkAnswer> {
    return this.#command(() => this.#networks.remove(nameOrId));
  }

  pruneNetworks(): Promise<NetworkAnswer[]> {
    return this.#command(() => this.#networks.prune());
  }

  sandboxes(): SandboxAnswer[] {
    return [...this.#registry.sandboxes.values()].map((sandbox) => sandboxAnswer(this.#registry, sandbox));
  }

  sandbox(nameOrId: string): SandboxAnswer {
    return sandboxAnswer(this.#registry, this.#registry.sandbox(nameOrId));
  }

  /** What a program in it is told of sandboxes that it is linked to: `NAME=VALUE`. */
  sandboxEnvironment(nameOrId: string): string[] {
    return linkVariables(this.#registry, this.#registry.sandbox(nameOrId));
  }

  async createSandbox(request: CreateSandboxRequest): Promise<SandboxAnswer> {
    const { id } = await this.#command(() => this.#sandboxes.create(request));
    return this.#withAddresses(id, () => this.#sandboxes.remove(this.#registry.sandbox(id)));
  }

  /** Waits in no turn, so that others have theirs. @param takeBack what was done, in a turn, when addresses are not to be had */
  async #withAddresses(sandbox: string, takeBack: () => Promise<void>): Promise<SandboxAnswer> {
    try {
      await this.#leases.settled(sandbox);
    } catch (error) {
      // Somebody else may have done so.
      await this.#command(takeBack).catch((reason: unknown) =>
        this.log.info({ reason: describeError(reason) }, "what failed was not there to be taken back"),
      );
      throw error;
    }
    return sandboxAnswer(this.#registry, this.#registry.sandbox(sandbox));
  }

  /** Makes a network that is one link between two sandboxes. All or none of it. */
  pairSandboxes(request: PairRequest): Promise<NetworkAnswer> {
    return this.#command(async () => {
      const ends = request.sandboxes.map((each) => this.#registry.sandbox(each));
      const pair = await pairSandboxes(ends, request, this.#networks, this.#endpoints);
      for (const sandbox of ends) this.#sandboxes.writeFiles(sandbox);
      return networkAnswer(this.#registry, pair);
    });
  }

  removeSandbox(nameOrId: string): Promise<SandboxAnswer> {
    return this.#command(async () => {
      const sandbox = this.#registry.sandbox(nameOrId);
      const answer = sandboxAnswer(this.#registry, sandbox);
      await this.#sandboxes.remove(sandbox);
      this.#unpublish(answer.networks);
      return answer;
    });
  }

  /** Ports that engines had published go with the endpoints they lead to. */
  #unpublish(endpoints: SandboxAnswer["networks"]): void {
    for (const { endpoint } of endpoints) this.#attachments.ends.unpublish(endpoint);
  }

  /** A call of CNI's, as `pontoon-cni` passes it on. Never rejects. */
  cni(values: unknown, input: string): Promise<EngineReply> {
    return this.#calls.cni(values, input);
  }

  /** A call of netavark's, as {@link cni}. */
  netavark(values: unknown, input: string): Promise<EngineReply> {
    return this.#calls.netavark(values, input);
  }

  async connect(request: ConnectRequest): Promise<SandboxAnswer> {
    const joined = await this.#command(async () => {
      const sandbox = this.#registry.sandbox(request.sandbox);
      const network = await this.#networks.toJoin(request.network);
      await this.#endpoints.connect(network, sandbox, request);
      this.#sandboxes.writeFiles(sandbox);
      return { network: network.id, sandbox: sandbox.id };
    });
    return this.#withAddresses(joined.sandbox, async () => {
      this.#sandboxes.writeFiles(await this.#endpoints.disconnect(joined));
    });
  }

  disconnect(request: DisconnectRequest): Promise<SandboxAnswer> {
    return this.#command(async () => {
      const before = sandboxAnswer(this.#registry, this.#registry.sandbox(request.sandbox));
      const sandbox = await this.#endpoints.disconnect(request);
      this.#unpublish(before.networks.filter(({ endpoint }) => !this.#registry.endpoints.has(endpoint)));
      this.#sandboxes.writeFiles(sandbox);
      return sandboxAnswer(this.#registry, sandbox);
    });
  }

  /** Has the kernel forward these, and no others. @param forwards by any key that stays the same */
  setForwards(forwards: ReadonlyMap<string, KernelForward>): Promise<void> {
    return this.#reconciler.setForwards(forwards);
  }

  /** Does what somebody asks for, and tells what has become of it: of what failed, too, something may have changed. */
  #command<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#reconciler.command(async () => {
      try {
        return await work();
      } finally {
        this.#tell();
      }
    });
  }

  /** Containers of engines go with their namespaces, in the turn after that in which it was seen. */
  #onLooked(): void {
    this.#tell();
    void this.#reconciler.background("attached containers that are gone could not be removed", async () => {
      await this.#attachments.ends.dropGone();
      this.#tell();
    });
  }

  #tell(): void {
    this.#announcer.tell();
    this.#reconciler.reviewZones();
    this.#leases.review();
    const { sandboxes } = this.#registry;
    if (sandboxes.size > 0) this.#keeper.start();
    this.#watches.review();
  }
}
