import { setImmediate as others } from "node:timers/promises";
import type { Logger } from "pino";
import { describeError, errorCode } from "../../common/errors.js";
import type { Poller } from "../../linux/poller.js";
import type { Elsewhere } from "../../network/protocol.js";
import type { KernelForward } from "../../network/firewall/wanted.js";
import type { Source } from "../inventory/source.js";
import type { Store } from "../store/store.js";
import { AdoptedContainers } from "./adopted-containers.js";
import { networkAnswer, sandboxAnswer } from "./answers.js";
import type {
  ConnectRequest,
  CreateNetworkRequest,
  CreateSandboxRequest,
  DisconnectRequest,
  NetworkAnswer,
  NetworkLinksAnswer,
  SandboxAnswer,
} from "./contract.js";
import type { DockersContainers, DockersNetworks } from "./dockers-networks.js";
import { Endpoints } from "./endpoints.js";
import { hasLeftBridges } from "./host-facts.js";
import { Announcer } from "./inventory-source.js";
import type { NetworkDefaults } from "./network-defaults.js";
import { NetworkAddresses } from "./network-addresses.js";
import { linkVariables } from "./link-variables.js";
import { networkLinks } from "./network-links.js";
import { Networks } from "./networks.js";
import { networksStatus, type NetworksStatus } from "./networks-status.js";
import { Reconciler } from "./reconciler.js";
import { Registry } from "./registry.js";
import { RuleWatch } from "./rule-watch.js";
import { writeSandboxFiles } from "./sandbox-files.js";
import { SandboxKeeper } from "./sandbox-keeper.js";
import { Sandboxes } from "./sandboxes.js";

/** Sandboxes that are dealt with before others have their turn: some milliseconds' worth. */
const atOnce = 16;

/** The network backend role: pontoon's own networks, sandboxes and endpoints. Commands are carried out one after the other. */
export class NetworksController {
  readonly #registry: Registry;
  readonly #announcer: Announcer;
  readonly #reconciler: Reconciler;
  readonly #networks: Networks;
  readonly #endpoints: Endpoints;
  readonly #containers: AdoptedContainers;
  readonly #sandboxes: Sandboxes;
  readonly #rules: RuleWatch;
  readonly #keeper: SandboxKeeper;

  constructor(
    poller: Poller,
    store: Store,
    dockers: DockersNetworks & DockersContainers,
    private readonly defaults: NetworkDefaults,
    private readonly log: Logger,
    source: Source,
  ) {
    const addresses = new NetworkAddresses();
    this.#registry = new Registry(store, (touched) => this.#announcer.note(touched));
    this.#announcer = new Announcer(source, this.#registry);
    this.#reconciler = new Reconciler(this.#registry, dockers, defaults, log);
    this.#networks = new Networks(this.#registry, this.#reconciler, addresses, dockers, defaults);
    this.#endpoints = new Endpoints(this.#registry, this.#reconciler, addresses, dockers);
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
    this.#rules = new RuleWatch(poller, () => this.#reconciler.mendFirewall());
    this.#keeper = new SandboxKeeper(this.#registry, this.#reconciler, log, () => this.#tell());
  }

  /** Makes what has to be made before servers are started. */
  prepare(): void {
    this.#reconciler.prepare();
  }

  /** What stands in firewall tables of others, as it was last seen. */
  get elsewhere(): Elsewhere {
    return this.#reconciler.elsewhere;
  }

  get status(): NetworksStatus {
    return networksStatus(this.#registry, this.#reconciler.off);
  }

  /** Docker's networks may be others than before. */
  dockerHasChanged(): void {
    this.#reconciler.dockerHasChanged();
  }

  /** Docker's containers may be others than before. @param ids all without */
  containersHaveChanged(ids?: ReadonlySet<string>): void {
    this.#containers.review(ids, this.#sandboxes, () => this.#tell());
  }

  /** Reads what there is to be, before anything is started. Without a store that can be read there are no networks. */
  load(): void {
    try {
      this.#registry.load();
    } catch (error) {
      if (errorCode(error) !== "STORE_UNREADABLE") throw error;
      this.#reconciler.begin(error as Error);
      this.log.error({ reason: describeError(error) }, "networks and sandboxes are left as they are");
      return;
    }
    this.#reconciler.begin(undefined);
    if (!this.defaults.firewall)
      this.log.info({ troubles: this.elsewhere.troubles }, "no network has rules in the host's firewall");
    for (const network of this.#registry.networks.values()) this.#networks.addAddresses(network);
  }

  /** Brings about what is to be, and mends what is not as it should be. Never rejects. */
  start(): Promise<void> {
    if (this.#registry.isEmpty && !hasLeftBridges()) return Promise.resolve();
    return this.#reconciler.background("networks could not be set up", async () => {
      try {
        await this.#reconciler.bringAbout();
        await this.#writeAllFiles();
      } catch (error) {
        this.log.error({ reason: describeError(error) }, "networks could not be set up");
      }
      while (!this.#announcer.tellSome(atOnce)) await others();
      this.#tell();
    });
  }

  async #writeAllFiles(): Promise<void> {
    for (const [index, sandbox] of [...this.#registry.sandboxes.values()].entries()) {
      if (index % atOnce === atOnce - 1) await others();
      writeSandboxFiles(this.#registry, sandbox);
    }
  }

  /** Leaves everything as it is. Can be called twice. */
  async stop(): Promise<void> {
    await this.#reconciler.stop();
    this.#keeper.stop();
    await this.#rules.stop();
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
    return this.#command(async () => networkAnswer(this.#registry, await this.#networks.create(request)));
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

  createSandbox(request: CreateSandboxRequest): Promise<SandboxAnswer> {
    return this.#command(async () => sandboxAnswer(this.#registry, await this.#sandboxes.create(request)));
  }

  removeSandbox(nameOrId: string): Promise<SandboxAnswer> {
    return this.#command(async () => {
      const sandbox = this.#registry.sandbox(nameOrId);
      const answer = sandboxAnswer(this.#registry, sandbox);
      await this.#sandboxes.remove(sandbox);
      return answer;
    });
  }

  connect(request: ConnectRequest): Promise<SandboxAnswer> {
    return this.#command(async () => {
      const sandbox = this.#registry.sandbox(request.sandbox);
      await this.#endpoints.connect(await this.#networks.toJoin(request.network), sandbox, request);
      this.#sandboxes.writeFiles(sandbox);
      return sandboxAnswer(this.#registry, sandbox);
    });
  }

  disconnect(request: DisconnectRequest): Promise<SandboxAnswer> {
    return this.#command(async () => {
      const sandbox = await this.#endpoints.disconnect(request);
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

  #tell(): void {
    this.#announcer.tell();
    const { sandboxes, networks } = this.#registry;
    if (sandboxes.size > 0) this.#keeper.start();
    if (this.defaults.firewall && [...networks.values()].some(({ firewall }) => firewall)) this.#rules.start();
    else void this.#rules.stop();
  }
}
