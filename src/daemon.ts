import { rmSync } from "node:fs";
import type { Logger } from "pino";
import { HostsKeeper } from "./names/hosts-keeper.js";
import type { Config } from "./config.js";
import { ControlApi } from "./control/api.js";
import { dnsOptions, portsOptions, publishes, takesOver } from "./controller-options.js";
import { explain } from "./names/explain.js";
import { recordRows } from "./names/record-rows.js";
import { statusOf, type Status } from "./status.js";
import { parseDockerAddress } from "./docker/address.js";
import { Admission } from "./docker/admission.js";
import { filesOfDockerd } from "./docker/dockerd-files.js";
import { Engine } from "./docker/engine.js";
import { Feed } from "./docker/feed.js";
import { rootOf } from "./docker/place.js";
import { pathInRoot } from "./docker/root-path.js";
import { Upstreams } from "./docker/upstreams.js";
import { describeError, errorCode } from "../common/errors.js";
import { Inventory } from "./inventory/inventory.js";
import { NodePoller } from "../linux/node-poller.js";
import { ServiceManager } from "../linux/service-manager.js";
import { DnsController } from "./names/controller.js";
import { EmbeddedStore } from "./store/embedded-store.js";
import { PortsController } from "./ports/controller.js";
import { watchLoopDelay, type LoopDelay } from "./loop-delay.js";
import { prepareProcess } from "./prepare.js";
import { startPulse } from "./pulse.js";
import { reload } from "./reload.js";
import { makeRunDir, requireShortPath, runDirFiles, tidyUp } from "./run-dir.js";
import { version } from "./version.js";
import { warnOfRunDir, warnOfStateDir, warnOfUnsteered } from "./warnings.js";

export interface DaemonOptions {
  /** With what flags say in place of what the file does. */
  readonly config: Config;
  /** As DOCKER_HOST may hold it. */
  readonly dockerHost: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly log: Logger;
  /** Measure how long the event loop is held up, and tell it with the status. */
  readonly watchLoop: boolean;
}

/** The composition root: everything the daemon consists of is made and wired here. */
export class Daemon {
  /** What counts now; some of what the file said later than the start. */
  #config: Config;
  readonly #log: Logger;
  readonly #poller = new NodePoller();
  readonly #manager: ServiceManager;
  readonly #admission: Admission;
  readonly #engine: Engine;
  readonly #inventory = new Inventory();
  readonly #feed: Feed;
  readonly #upstreams: Upstreams;
  readonly #dns: DnsController;
  readonly #store: EmbeddedStore;
  readonly #ports: PortsController;
  readonly #hosts: HostsKeeper;
  readonly #api: ControlApi;
  #unwatch: (() => void) | undefined;
  #stopPulse: (() => void) | undefined;
  #stopped: Promise<void> | undefined;
  #loopDelay: (() => LoopDelay) | undefined;

  constructor(private readonly options: DaemonOptions) {
    const { config, runDir, stateDir, dockerHost, log } = options;
    this.#config = config;
    this.#log = log;
    this.#manager = ServiceManager.fromEnvironment(process.env, (error) =>
      log.warn({ reason: describeError(error) }, "systemd could not be told how pontoon is"),
    );
    const docker = parseDockerAddress(dockerHost, process.env);
    this.#admission = new Admission(dockerHost, docker, config.observe);
    this.#engine = new Engine(dockerHost, docker, this.#admission);
    this.#upstreams = new Upstreams({
      ...filesOfDockerd(this.#admission, log),
      engineMajor: () => this.#feed.engineMajor,
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
        userlandProxy: () => this.#admission.settings?.userlandProxy ?? true,
      },
      log,
    );
    this.#hosts = new HostsKeeper(this.#inventory, log, (file) =>
      pathInRoot(rootOf(this.#admission.place), file, { followLink: false }),
    );
    this.#feed = new Feed(this.#engine, this.#inventory, log, {
      onState: () => this.#onFeedState(),
      admit: () => this.#admission.admit(this.#engine),
    });
    this.#api = this.#makeApi();
  }

  #makeApi(): ControlApi {
    return new ControlApi(`${this.options.runDir}/control.sock`, {
      status: () => this.#status(),
      records: () => recordRows(this.#inventory, this.#config.dns.ttl),
      query: (container, query) => explain(this.#inventory, this.#dns, container, query),
      flush: (name) => this.#dns.flush(name),
      ports: (container) => this.#ports.rows(container),
      publish: (request) => this.#ports.publish(request),
      unpublish: (request) => this.#ports.unpublish(request),
    });
  }

  /** Throws when root, the kernel or the run directory do not allow it; nothing is left behind then. */
  async start(): Promise<void> {
    const { runDir, stateDir, dockerHost, watchLoop } = this.options;
    prepareProcess();
    requireShortPath(runDir);
    await this.#admission.admit(this.#engine);
    makeRunDir(runDir);
    warnOfRunDir(this.#log, runDir);
    this.#admission.lock();
    if (publishes(this.#config)) this.#openStore();
    this.#ports.load();
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

  #startAll(): void {
    this.#poller.start();
    this.#dns.start();
    this.#ports.start(() => this.#dns.isReady);
    if (!this.#config.observe) this.#hosts.start();
    this.#feed.start();
    this.#stopPulse = startPulse(
      () => this.#dns.beat(),
      () => this.#feed.catchUp(),
    );
    this.#unwatch = this.#upstreams.watch(() => {
      this.#log.info("the host's resolv.conf has changed");
      this.#dns.reconsiderAll();
    });
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
    this.#log.info("giving every container back to Docker's resolver");
    this.#stopFollowing();
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
    this.#dns.leave();
    await this.#ports.leave();
    await this.#close(runDirFiles.daemon);
  }

  #stopFollowing(): void {
    this.#manager.stopping();
    this.#unwatch?.();
    this.#feed.stop();
    this.#hosts.stop();
  }

  async #close(files: readonly string[]): Promise<void> {
    await this.#api.stop();
    await this.#store.close();
    this.#stopPulse?.();
    this.#poller.stop();
    tidyUp(this.#log, [
      ...this.#admission.locks.map((lock) => () => lock.release()),
      ...files.map((name) => () => rmSync(`${this.options.runDir}/${name}`, { force: true })),
    ]);
  }

  #onFeedState(): void {
    const { state, joins } = this.#feed;
    if (state.kind === "waiting") this.#manager.status(`waiting for dockerd at ${this.options.dockerHost}`);
    if (state.kind === "following") this.#manager.status(`following Docker ${state.version}`);
    const isComplete = state.kind === "following";
    this.#dns.setGap({ everywhere: !isComplete || this.#feed.isBehind, networks: joins.networks() });
    if (!isComplete) return;
    void this.#dns.mayTakeOver();
    void this.#ports.inventoryIsComplete();
  }

  /** dockerd is waited for, or every container is answered and every port served. */
  get #isReady(): boolean {
    const { kind } = this.#feed.state;
    return this.#ports.isReady && (kind === "waiting" || (kind === "following" && this.#dns.isReady));
  }

  async #status(): Promise<Status> {
    const { dockerHost, stateDir } = this.options;
    const [dns, proxyReport] = [await this.#dns.state(), await this.#ports.report()];
    const { server, unsteered } = this.#ports;
    return statusOf({
      ready: this.#isReady,
      version,
      observe: this.#config.observe,
      dockerHost,
      stateDir,
      feed: this.#feed.state,
      inventory: this.#inventory,
      dns: { enabled: this.#config.dns.enabled, ...dns },
      ports: { enabled: this.#ports.isOn, server, unsteered, report: proxyReport },
      loopDelay: this.#loopDelay?.(),
    });
  }
}
