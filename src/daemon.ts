import { rmSync } from "node:fs";
import type { Logger } from "pino";
import { HostsKeeper } from "./names/hosts-keeper.js";
import type { Config } from "./config.js";
import { ControlApi } from "./control/api.js";
import { dnsOptions, networkDefaults, portsOptions, publishes, takesOver } from "./controller-options.js";
import { inventoryAnswer } from "./control/inventory-answer.js";
import { explain } from "./names/explain.js";
import { recordRows } from "./names/record-rows.js";
import { statusOf, type Status } from "./status.js";
import { Docker, WITHOUT_DOCKER } from "./docker/docker.js";
import { filesOfDockerd } from "./docker/dockerd-files.js";
import { rootOf } from "./docker/place.js";
import { pathInRoot } from "./docker/root-path.js";
import { Upstreams } from "./docker/upstreams.js";
import { describeError, errorCode, PontoonError } from "../common/errors.js";
import type { ClusterController, ClusterSurroundings } from "./cluster/controller.js";
import { Inventory } from "./inventory/inventory.js";
import { NodePoller } from "../linux/node-poller.js";
import { ServiceManager } from "../linux/service-manager.js";
import { DnsController } from "./names/controller.js";
import { EmbeddedStore } from "./store/embedded-store.js";
import { dockerBridges } from "./networks/docker-bridges.js";
import { dockersContainer } from "./networks/dockers-containers.js";
import { dockerSubnets } from "./networks/taken.js";
import { driverName } from "./networks/plugin/differences.js";
import { noDriver } from "./networks/plugin/methods.js";
import { PluginServer, type PluginSocket } from "./networks/plugin/server.js";
import { inheritedListener } from "../linux/socket-activation.js";
import type { PluginSurroundings } from "./networks/plugin/parts.js";
import type { EndpointPublisher } from "./networks/plugin/publishing.js";
import { NetworksController } from "./networks/controller.js";
import { PortsController } from "./ports/controller.js";
import { watchLoopDelay, type LoopDelay } from "./loop-delay.js";
import { prepareProcess } from "./prepare.js";
import { startPulse } from "./pulse.js";
import { reload } from "./reload.js";
import { makeRunDir, requireShortPath, runDirFiles, tidyUp } from "./run-dir.js";
import { version } from "./version.js";
import { warnOfRunDir, warnOfStateDir, warnOfUnsteered } from "./warnings.js";

/** Where dockerd looks for the driver pontoon. */
const pluginLink = "/run/docker/plugins/pontoon.sock";
/** What that leads to where the service manager keeps it. */
const inheritedSocket = "/run/pontoon-plugin.sock";

export interface DaemonOptions {
  /** With what flags say in place of what the file does. */
  readonly config: Config;
  /** As DOCKER_HOST may hold it, or {@link WITHOUT_DOCKER}. */
  readonly dockerHost: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly log: Logger;
  /** Makes this host one of those that share a store; undefined for a host alone. */
  readonly cluster?: ClusterMaker | undefined;
  /** Measure how long the event loop is held up, and tell it with the status. */
  readonly watchLoop: boolean;
}

/** Given what a host's part in a cluster is made of. Throws what its maker throws. */
export type ClusterMaker = (parts: Pick<ClusterSurroundings, "local" | "source" | "log">) => ClusterController;

/** The composition root: everything the daemon consists of is made and wired here. */
export class Daemon {
  /** What counts now; some of what the file said later than the start. */
  #config: Config;
  readonly #log: Logger;
  readonly #poller = new NodePoller();
  readonly #manager: ServiceManager;
  readonly #inventory = new Inventory();
  /** Undefined on a host without Docker. */
  readonly #docker: Docker | undefined;
  readonly #upstreams: Upstreams;
  readonly #dns: DnsController;
  readonly #store: EmbeddedStore;
  readonly #ports: PortsController;
  readonly #plugin: PluginSocket;
  /** Tells dockerd that there is no driver, where somebody listens all the same. */
  #refusal: PluginServer | undefined;
  readonly #networks: NetworksController;
  readonly #hosts: HostsKeeper | undefined;
  #cluster: ClusterController | undefined;
  readonly #api: ControlApi;
  #unwatch: (() => void) | undefined;
  #stopPulse: (() => void) | undefined;
  #stopped: Promise<void> | undefined;
  /** The dockerd whose networks were compared with ours last. */
  #followedSince: Date | undefined;
  #loopDelay: (() => LoopDelay) | undefined;

  constructor(private readonly options: DaemonOptions) {
    const { config, runDir, stateDir, dockerHost, log } = options;
    this.#plugin = { path: `${runDir}/plugin.sock`, link: pluginLink, inherited: inheritedListener(inheritedSocket) };
    this.#config = config;
    this.#log = log;
    this.#manager = ServiceManager.fromEnvironment(process.env, (error) =>
      log.warn({ reason: describeError(error) }, "systemd could not be told how pontoon is"),
    );
    const docker =
      dockerHost === WITHOUT_DOCKER
        ? undefined
        : new Docker(dockerHost, config.observe, this.#inventory, log, () => this.#onFeedState());
    this.#docker = docker;
    this.#upstreams = new Upstreams({
      ...filesOfDockerd(docker?.admission, log),
      engineMajor: () => docker?.feed.engineMajor ?? 0,
      forwardFrom: () => this.#config.dns["forward-from"],
    });
    this.#dns = new DnsController(
      this.#poller.poller,
      this.#inventory,
      (container) => this.#upstreams.of(container),
      { runDir, version, takeOver: takesOver(config), ...dnsOptions(config) },
      log,
    );
    this.#store = new EmbeddedStore(stateDir, (record) =>
      log.error(record, "something that was remembered makes no sense; it is kept aside"),
    );
    this.#ports = new PortsController(
      this.#poller.poller,
      this.#inventory,
      this.#store,
      {
        ...portsOptions(config),
        runDir,
        stateDir,
        version,
        userlandProxy: () => docker?.admission.settings?.userlandProxy ?? true,
        onForwards: (forwards) => this.#networks.setForwards(forwards),
      },
      log,
    );
    const pathOf = (file: string) =>
      docker ? pathInRoot(rootOf(docker.admission.place), file, { followLink: false }) : file;
    this.#networks = new NetworksController(
      this.#poller.poller,
      this.#store,
      {
        subnets: () => dockerSubnets(this.#inventory),
        bridges: () => dockerBridges(this.#inventory.networks.values()),
        isFollowed: docker !== undefined,
        isComplete: () => this.#inventory.source("docker").isComplete,
        find: (nameOrId) => dockersContainer(this.#inventory, nameOrId),
        pathOf,
      },
      networkDefaults(config),
      log,
      this.#inventory.source("pontoon"),
      {
        ports: this.#endpointPorts(),
        whenAnswering: (place) => this.#dns.whenAnswering("pontoon", place),
      },
      docker && !config.observe ? this.#pluginOf(docker) : undefined,
    );
    this.#inventory.onChange(({ networks, containers }) => {
      if (networks.size > 0) this.#networks.dockerHasChanged();
      if (containers.size > 0) this.#networks.containersHaveChanged(containers);
      this.#networks.inventoryHasChanged({ containers, networks });
    });
    this.#hosts = docker && new HostsKeeper(this.#inventory, log, pathOf);
    this.#inventory.onComplete((source) => {
      this.#networks.containersHaveChanged();
      if (source !== "hosts") void this.#dns.mayTakeOver(source);
      void this.#ports.inventoryIsComplete();
    });
    this.#api = this.#makeApi();
  }

  /** What dockerd's driver pontoon needs beside networks. */
  #pluginOf(docker: Docker): PluginSurroundings {
    return {
      inventory: this.#inventory,
      isDockerKnown: () => docker.feed.state.kind === "following",
      driverNetworks: () => docker.driverNetworks(driverName),
      createNetwork: (network) => docker.createNetwork(network),
      removeNetwork: (id) => docker.removeNetwork(id),
      nameOf: (network, endpoint) => docker.starts.nameOf(network, endpoint),
      onJoined: (joined) => {
        const started = docker.starts.begin(joined).catch((error: unknown) => {
          this.#log.warn({ reason: describeError(error) }, "a container that starts is known a little later");
          return undefined;
        });
        return {
          container: started,
          isAnswered: started.then(async (container) => this.#dns.whenAnswering("docker", await container?.sandbox)),
        };
      },
      socket: this.#plugin,
      ports: this.#endpointPorts(),
    };
  }

  /** Ports of containers, as container engines ask for them. */
  #endpointPorts(): EndpointPublisher {
    return {
      publish: (request) => this.#ports.publishEndpoint(request),
      unpublish: (endpoint) => this.#ports.unpublishEndpoint(endpoint),
      published: () => this.#ports.endpoints,
      move: (endpoint, to) => void this.#ports.moveEndpoint(endpoint, to),
      rename: (endpoint, container) => void this.#ports.renameEndpoint(endpoint, container),
    };
  }

  #makeApi(): ControlApi {
    return new ControlApi(`${this.options.runDir}/control.sock`, {
      status: () => this.#status(),
      inventory: () => inventoryAnswer(this.#inventory),
      records: () => recordRows(this.#inventory, this.#config.dns.ttl),
      query: (container, query) => explain(this.#inventory, this.#dns, container, query),
      flush: (name) => this.#dns.flush(name),
      ports: (container) => this.#ports.rows(container),
      publish: (request) => this.#ports.publish(request),
      unpublish: (request) => this.#ports.unpublish(request),
      networks: this.#networks,
      engines: this.#networks,
      cluster: {
        hosts: () => this.#requireCluster().hosts(),
        forget: (nameOrId) => this.#requireCluster().forget(nameOrId),
      },
    });
  }

  #requireCluster(): ClusterController {
    if (this.#cluster) return this.#cluster;
    throw new PontoonError(
      "CLUSTER_OFF",
      "hosts",
      "this daemon shares a store with no other host; start it with --store etcd://HOST:2379",
    );
  }

  /** Throws when root, the kernel or the run directory do not allow it; nothing is left behind then. */
  async start(): Promise<void> {
    const { runDir, stateDir, dockerHost, watchLoop } = this.options;
    prepareProcess();
    requireShortPath(runDir);
    await this.#docker?.admit();
    makeRunDir(runDir);
    warnOfRunDir(this.#log, runDir);
    this.#docker?.admission.lock();
    if (!this.#config.observe) this.#openStore();
    await this.#joinCluster();
    this.#ports.load();
    if (!this.#config.observe) this.#networks.load();
    this.#networks.prepare();
    if (publishes(this.#config)) warnOfStateDir(this.#log, stateDir);
    await this.#api.start();
    if (this.#stopped) return; // asked to end meanwhile
    if (watchLoop) this.#loopDelay = watchLoopDelay();
    this.#startAll();
    this.#log.info({ version, docker: dockerHost, observe: this.#config.observe }, "pontoon daemon started");
    warnOfUnsteered(this.#log, { dns: this.#dns.unsteered, proxy: this.#ports.unsteered });
    this.#manager.ready();
  }

  /** Names need nothing of it: whoever asks for what cannot be read is told why. */
  #openStore(): void {
    try {
      this.#store.open();
    } catch (error) {
      if (errorCode(error) !== "STORE_UNREADABLE") throw error;
    }
  }

  /** What other hosts have is known as it was when the last daemon ended. Without a store of its own a host has no part in it. */
  async #joinCluster(): Promise<void> {
    const source = this.#inventory.source("hosts");
    if (this.options.cluster && !this.#config.observe) {
      const cluster = this.options.cluster({ local: this.#store, source, log: this.#log });
      await cluster.load();
      this.#networks.useCluster(cluster.cluster);
      this.#cluster = cluster;
    }
    source.complete();
  }

  #startAll(): void {
    this.#poller.start();
    this.#dns.start();
    this.#ports.start(() => this.#dns.isReady);
    if (!this.#config.observe) this.#hosts?.start();
    this.#startSources();
    this.#stopPulse = startPulse(
      () => this.#dns.beat(),
      () => this.#docker?.feed.catchUp(),
    );
    this.#unwatch = this.#upstreams.watch(() => {
      this.#log.info("the host's resolv.conf has changed");
      this.#dns.reconsiderAll();
    });
  }

  /** Own sandboxes are known at once, and Docker's containers as soon as dockerd tells; without Docker there are none. */
  #startSources(): void {
    const networks = this.#config.observe ? Promise.resolve() : this.#networks.start();
    this.#cluster?.start(this.#networks.clusterListener);
    void this.#serveDriver();
    void networks.then(() => this.#inventory.source("pontoon").complete());
    if (this.#docker) return this.#docker.feed.start();
    this.#manager.status("running without Docker");
    this.#dns.setGap({ everywhere: false, networks: [] });
    this.#inventory.source("docker").complete();
  }

  /** dockerd waits for ever for who listens and says nothing. */
  async #serveDriver(): Promise<void> {
    if (this.#docker && !this.#config.observe) return this.#networks.serve();
    if (this.#plugin.inherited === undefined) return;
    this.#refusal = new PluginServer(this.#plugin, noDriver, () => undefined);
    await this.#refusal.start();
  }

  /**
   * Takes up what can change while everything runs, and says what cannot.
   * @param read the configuration as it is now, as {@link DaemonOptions.config}
   */
  reload(read: Config): void {
    if (this.#stopped) return;
    const { config, applied, atNextStart } = reload(this.#config, read);
    this.#config = config;
    this.#log.level = config["log-level"];
    this.#dns.configure(dnsOptions(config));
    const rest = atNextStart.length > 0 ? "; some of it counts from the next start on" : "";
    this.#log.info({ applied, atNextStart }, `the configuration was read again${rest}`);
  }

  /** Gives every namespace back to Docker, then ends. Can be called twice. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Ends, and leaves pontoon-dns serving for the daemon that follows, of whatever version. Can be called twice. */
  leave(): Promise<void> {
    this.#stopped ??= this.#leave();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#log.info(this.#docker ? "giving every container back to Docker's resolver" : "ending");
    this.#stopFollowing();
    await this.#stopServing();
    const [dnsHasEnded, proxyHasEnded] = await Promise.all([this.#dns.stop(), this.#ports.stop()]);
    await this.#close([
      ...runDirFiles.daemon,
      ...(dnsHasEnded ? runDirFiles.dns : []),
      ...(proxyHasEnded ? runDirFiles.proxy : []),
    ]);
    this.#log.info("stopped");
  }

  async #leave(): Promise<void> {
    this.#log.info("leaving every container to pontoon-dns, every port to pontoon-proxy, and both to the next daemon");
    this.#stopFollowing();
    await this.#stopServing();
    this.#dns.leave();
    await this.#ports.leave();
    await this.#close(runDirFiles.daemon);
  }

  async #stopServing(): Promise<void> {
    await this.#networks.stopServing();
    await this.#refusal?.stop();
  }

  #stopFollowing(): void {
    this.#manager.stopping();
    this.#unwatch?.();
    this.#docker?.feed.stop();
    this.#hosts?.stop();
  }

  async #close(files: readonly string[]): Promise<void> {
    await this.#api.stop();
    await this.#networks.stop();
    await this.#cluster?.stop();
    await this.#store.close();
    this.#stopPulse?.();
    this.#poller.stop();
    tidyUp(this.#log, [
      ...(this.#docker?.admission.locks ?? []).map((lock) => () => lock.release()),
      ...files.map((name) => () => rmSync(`${this.options.runDir}/${name}`, { force: true })),
    ]);
  }

  /** A gap is Docker's alone: own sandboxes are in none while dockerd is away. */
  #onFeedState(): void {
    if (!this.#docker) return;
    const { state, joins, isBehind } = this.#docker.feed;
    if (state.kind === "waiting") this.#manager.status(`waiting for dockerd at ${this.options.dockerHost}`);
    if (state.kind === "following") this.#manager.status(`following Docker ${state.version}`);
    if (state.kind === "following" && this.#followedSince !== state.since) this.#networks.dockerIsKnown();
    this.#followedSince = state.kind === "following" ? state.since : undefined;
    this.#dns.setGap({ everywhere: state.kind !== "following" || isBehind, networks: joins.networks() });
  }

  /** Every port is served, and every container and sandbox answered; of those of a dockerd that is waited for nothing is known. */
  get #isReady(): boolean {
    const kind = this.#docker?.feed.state.kind ?? "following";
    const namesAreReady =
      kind === "waiting" ? this.#dns.isSettled("pontoon") : kind === "following" && this.#dns.isReady;
    return this.#ports.isReady && namesAreReady;
  }

  async #status(): Promise<Status> {
    const { dockerHost, stateDir } = this.options;
    const [dns, proxyReport] = [await this.#dns.state(), await this.#ports.report()];
    const { server, unsteered, unread } = this.#ports;
    const cluster = await this.#cluster?.status();
    return statusOf({
      ready: this.#isReady,
      version,
      observe: this.#config.observe,
      dockerHost,
      stateDir,
      feed: this.#docker?.feed.state ?? { kind: "none" },
      inventory: this.#inventory,
      dns: { enabled: this.#config.dns.enabled, ...dns },
      ports: { enabled: this.#ports.isOn, server, unsteered, unread, report: proxyReport },
      backend: this.#networks.status,
      cluster,
      firewall: this.#networks.elsewhere,
      loopDelay: this.#loopDelay?.(),
    });
  }
}
