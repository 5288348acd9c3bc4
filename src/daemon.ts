import { createHash } from "node:crypto";
import { mkdirSync, realpathSync, rmSync } from "node:fs";
import { release } from "node:os";
import type { Logger } from "pino";
import type { Explanation } from "../dns/protocol.js";
import { HostsKeeper } from "./names/hosts-keeper.js";
import type { Config } from "./config.js";
import { ControlApi } from "./control/api.js";
import { recordRows } from "./names/record-rows.js";
import { statusOf, type Status } from "./status.js";
import { parseDockerAddress, type DockerAddress } from "./docker/address.js";
import { daemonDnsOf, daemonSettingsOf, type DaemonSettings } from "./docker/daemon-dns.js";
import { Engine, type EngineIdentity } from "./docker/engine.js";
import { Feed } from "./docker/feed.js";
import { interfaceNumber } from "./docker/interface-number.js";
import { resolvConfRootOf, rootOf, type DockerdPlace } from "./docker/place.js";
import { pathInRoot } from "./docker/root-path.js";
import { Upstreams } from "./docker/upstreams.js";
import { describeError, errorCode, PontoonError } from "../common/errors.js";
import { Inventory } from "./inventory/inventory.js";
import { containerNamed, namespaceOwner } from "./inventory/targets.js";
import { makeRoomForDescriptors } from "../linux/descriptors.js";
import { FileLock, lockFolder } from "../linux/file-lock.js";
import { NodePoller } from "../linux/node-poller.js";
import { goAhead, raiseDescriptorLimit } from "../linux/privileges.js";
import { ServiceManager } from "../linux/service-manager.js";
import { checkLayouts, kernelProblem } from "../linux/selftest.js";
import { DnsController } from "./names/controller.js";
import { PortsController } from "./ports/controller.js";
import { faultOfFolder, faultOfWriting } from "../common/own-folder.js";
import { isAsleep, placeOfDockerd, refusalAt } from "./docker/dockerd.js";
import { takenOver } from "./names/unsteered.js";
import { watchLoopDelay, type LoopDelay } from "./loop-delay.js";
import { startPulse } from "./pulse.js";
import { reload } from "./reload.js";
import { version } from "./version.js";

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

const dnsServerFiles = ["dns.sock", "dns.log", "dns.pid"];
const proxyServerFiles = ["proxy.sock", "proxy-control.sock", "proxy.log", "proxy.pid"];
const longestSocket = "/proxy-control.sock.new";
const socketPathAtMost = 107; // bytes, unix(7)
/** Of the daemon and its servers: a busy machine must neither let a takeover lapse nor keep a server from coming back. */
const niceness = -5;

/** The composition root: everything the daemon consists of is made and wired here. */
export class Daemon {
  /** What counts now; some of what the file said later than the start. */
  #config: Config;
  readonly #log: Logger;
  readonly #inventory = new Inventory();
  readonly #feed: Feed;
  readonly #dns: DnsController;
  readonly #ports: PortsController;
  readonly #hosts: HostsKeeper;
  readonly #api: ControlApi;
  readonly #poller = new NodePoller();
  readonly #upstreams: Upstreams;
  readonly #manager: ServiceManager;
  readonly #docker: DockerAddress;
  readonly #engine: Engine;
  /** Of the dockerd that is followed, or was last. */
  #place: DockerdPlace = { kind: "untold" };
  /** Of that dockerd. */
  #settings: DaemonSettings | undefined;
  #unwatch: (() => void) | undefined;
  #stopPulse: (() => void) | undefined;
  #lock: FileLock | undefined;
  /** Of the dockerd that answers, by whatever address. */
  #identityLock: { readonly name: string; readonly lock: FileLock } | undefined;
  #stopped: Promise<void> | undefined;
  #loopDelay: (() => LoopDelay) | undefined;

  constructor(private readonly options: DaemonOptions) {
    const { config, runDir, dockerHost } = options;
    const running = () => this.#config;
    this.#config = config;
    this.#log = options.log;
    this.#manager = ServiceManager.fromEnvironment(process.env, (error) =>
      this.#log.warn({ reason: describeError(error) }, "systemd could not be told how pontoon is"),
    );
    this.#docker = parseDockerAddress(dockerHost, process.env);
    this.#engine = new Engine(dockerHost, this.#docker, {
      mayConnect: () => this.#mayConnect(),
      recognise: (identity) => this.#recognise(identity),
    });
    this.#upstreams = new Upstreams({
      resolvConf: () => pathInRoot(resolvConfRootOf(this.#place), "/etc/resolv.conf"),
      pathOf: (file, opening) => pathInRoot(rootOf(this.#place), file, opening),
      onUnfit: (file, reason) =>
        this.#log.warn(
          { file, reason },
          "a resolv.conf cannot be read; its servers are not asked, and its suffixes not tried",
        ),
      daemonDns: async () => this.#settings?.dns ?? daemonDnsOf(undefined),
      engineMajor: () => (this.#feed.state.kind === "following" ? parseInt(this.#feed.state.version, 10) : 0),
      interfaceNumber,
      get forwardFrom() {
        return running().dns["forward-from"];
      },
    });
    this.#dns = new DnsController(
      this.#poller.poller,
      this.#inventory,
      (container) => this.#upstreams.of(container),
      { runDir, version, takeOver: config.dns.enabled && !config.observe, ...dnsOptions(config) },
      this.#log,
    );
    const { enabled, drain, "udp-source-ports": sourcePorts } = config.ports;
    this.#ports = new PortsController(
      this.#poller.poller,
      this.#inventory,
      {
        enabled: enabled && !config.observe,
        runDir,
        stateDir: options.stateDir,
        version,
        ip: config.ip,
        drainMs: drain * 1000,
        sourcePorts,
        userlandProxy: () => this.#settings?.userlandProxy ?? true,
      },
      this.#log,
    );
    this.#hosts = new HostsKeeper(this.#inventory, this.#log, (file) =>
      pathInRoot(rootOf(this.#place), file, { followLink: false }),
    );
    this.#feed = new Feed(this.#engine, this.#inventory, this.#log, {
      onState: () => this.#onFeedState(),
      admit: () => this.#admit(),
    });
    this.#api = new ControlApi(`${runDir}/control.sock`, {
      status: () => this.#status(),
      records: () => recordRows(this.#inventory, this.#config.dns.ttl),
      query: (container, query) => this.#explain(container, query),
      flush: (name) => this.#dns.flush(name),
      ports: (container) => this.#ports.rows(container),
      publish: (request) => this.#ports.publish(request),
      unpublish: (request) => this.#ports.unpublish(request),
    });
  }

  /** Throws when root, the kernel or the run directory do not allow it; nothing is left behind then. */
  async start(): Promise<void> {
    requireRoot();
    const problem = kernelProblem();
    if (problem !== undefined) throw new PontoonError("KERNEL_UNFIT", "kernel", problem);
    checkLayouts();
    raiseDescriptorLimit();
    goAhead(niceness);
    makeRoomForDescriptors();
    const { runDir } = this.options;
    // Node cuts a longer path short, and listens at what is left of it.
    if (Buffer.byteLength(`${runDir}${longestSocket}`) > socketPathAtMost)
      throw new PontoonError(
        "RUN_DIR_UNFIT",
        runDir,
        `--run-dir ${runDir}: too long for a unix socket; choose a path of ${socketPathAtMost - longestSocket.length} bytes at most`,
      );
    await this.#admit();
    makeRunDir(runDir);
    const fault = faultOfWriting(runDir);
    if (fault !== undefined)
      this.#log.warn(
        { runDir, reason: `it is ${fault.what}` },
        "servers that do not run yet may not start: make room in the run directory",
      );
    if (!this.#config.observe) this.#lock = takeLock(canonicalAddress(this.#docker), this.options.dockerHost);
    this.#ports.load();
    this.#warnOfStateDir();
    await this.#api.start();
    if (this.#stopped) return; // asked to end meanwhile
    if (this.options.watchLoop) this.#loopDelay = watchLoopDelay();
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
    this.#log.info(
      { version, docker: this.options.dockerHost, observe: this.#config.observe },
      "pontoon daemon started",
    );
    this.#warnOfUnsteered();
    this.#manager.ready();
  }

  /** Names do not need it, so it is no reason to have none. */
  #warnOfStateDir(): void {
    const { stateDir } = this.options;
    const fault = this.#config.ports.enabled && !this.#config.observe ? faultOfWriting(stateDir) : undefined;
    if (fault === undefined) return;
    const reason = `--state-dir ${stateDir}: it is ${fault.what}; permit writing there or make room, or give another --state-dir`;
    this.#log.error(
      { code: "STORE_UNWRITABLE", stateDir, reason },
      "what is published cannot be remembered, so nothing more can be published",
    );
  }

  #warnOfUnsteered(): void {
    const { dns, proxy } = { dns: this.#dns.unsteered, proxy: this.#ports.unsteered };
    if (dns !== undefined)
      this.#log.warn(
        { pid: dns },
        "a pontoon-dns of an earlier daemon goes on answering, and is left alone; `pontoon status` shows where",
      );
    if (proxy !== undefined)
      this.#log.warn(
        { pid: proxy },
        "a pontoon-proxy of an earlier daemon goes on serving published ports, and is left alone",
      );
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
    this.#log.info(
      { applied, atNextStart },
      atNextStart.length > 0
        ? "the configuration was read again; some of it counts from the next start on"
        : "the configuration was read again",
    );
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
      "control.sock",
      ...(dnsHasEnded ? dnsServerFiles : []),
      ...(proxyHasEnded ? proxyServerFiles : []),
    ]);
    this.#log.info("stopped");
  }

  async #leave(): Promise<void> {
    this.#log.info("leaving every container to pontoon-dns, every port to pontoon-proxy, and both to the next daemon");
    this.#stopFollowing();
    this.#dns.leave();
    await this.#ports.leave();
    await this.#close(["control.sock"]);
  }

  #stopFollowing(): void {
    this.#manager.stopping();
    this.#unwatch?.();
    this.#feed.stop();
    this.#hosts.stop();
  }

  async #close(files: readonly string[]): Promise<void> {
    await this.#api.stop();
    this.#stopPulse?.();
    this.#poller.stop();
    for (const lock of [this.#lock, this.#identityLock?.lock]) this.#tidy(() => lock?.release());
    for (const name of files) this.#tidy(() => rmSync(`${this.options.runDir}/${name}`, { force: true }));
  }

  /** What cannot be removed any more is no reason to end badly: the next daemon, or `pontoon check --repair`, makes up for it. */
  #tidy(remove: () => void): void {
    try {
      remove();
    } catch (error) {
      this.#log.warn({ reason: describeError(error) }, "a file of the daemon's could not be removed");
    }
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

  async #status(): Promise<Status> {
    const report = await this.#dns.report().catch((error: unknown) => {
      this.#log.warn({ reason: describeError(error) }, "pontoon-dns did not report");
      return undefined;
    });
    const steersDns = this.#config.dns.enabled && !this.#config.observe;
    return statusOf({
      ready:
        this.#ports.isReady &&
        (this.#feed.state.kind === "waiting" || (this.#feed.state.kind === "following" && this.#dns.isReady)),
      version,
      observe: this.#config.observe,
      dockerHost: this.options.dockerHost,
      stateDir: this.options.stateDir,
      feed: this.#feed.state,
      dnsEnabled: this.#config.dns.enabled,
      server: this.#dns.server,
      ports: {
        enabled: this.#config.ports.enabled && !this.#config.observe,
        server: this.#ports.server,
        report: await this.#ports.report(),
      },
      inventory: this.#inventory,
      decisions: this.#dns.decisions,
      failures: this.#dns.takeovers.failures,
      answering: this.#dns.answering,
      unsteered: {
        dns: this.#dns.unsteered,
        proxy: this.#ports.unsteered,
        answering: steersDns ? new Set() : await takenOver(this.#dns.decisions.values()),
      },
      report,
      loopDelay: this.#loopDelay?.(),
    });
  }

  async #explain(nameOrId: string, query: Buffer): Promise<Explanation> {
    const named = containerNamed(this.#inventory, nameOrId);
    const container = named && namespaceOwner(this.#inventory, named);
    if (!container)
      throw new PontoonError(
        "NO_SUCH_CONTAINER",
        nameOrId,
        `no container is called ${nameOrId}; see \`pontoon status\``,
      );
    const decision = this.#dns.decisions.get(container.id);
    if (decision?.kind !== "serve") {
      const reason = decision?.reason ?? "not looked at yet";
      throw new PontoonError(
        "NOT_SERVED",
        container.name,
        `${container.name} is answered by Docker's resolver, not by pontoon: ${reason}`,
      );
    }
    const explanation = await this.#dns.explain(decision.sandbox.id, query);
    if (!explanation)
      throw new PontoonError(
        "NOT_SERVED",
        container.name,
        `pontoon-dns does not serve ${container.name} yet; see \`pontoon status\``,
      );
    return explanation;
  }

  /** Looks where the dockerd is that answers now. Rejects when it cannot be served from here. */
  async #admit(): Promise<void> {
    const place = await placeOfDockerd(this.#docker);
    if (!place) return; // nobody is there: the feed waits
    const refusal = await refusalAt(this.#engine, place);
    if (refusal !== undefined) throw new PontoonError("DOCKERD_ELSEWHERE", this.options.dockerHost, refusal);
    this.#place = place;
    this.#settings = await daemonSettingsOf(place.kind === "seen" ? place.pid : undefined);
  }

  async #mayConnect(): Promise<void> {
    if (this.#docker.kind === "unix" && (await isAsleep(this.#docker.path)))
      throw new Error(
        `${this.#docker.path} is held by systemd alone, and a connection would start dockerd; \`systemctl start docker\` does`,
      );
  }

  /** Throws DOCKERD_ELSEWHERE for a dockerd of another machine, ALREADY_RUNNING when another daemon follows it by another address. */
  #recognise({ id, rootDir, kernel }: EngineIdentity): void {
    const host = this.options.dockerHost;
    if (!isThisKernel(kernel))
      throw new PontoonError(
        "DOCKERD_ELSEWHERE",
        host,
        `dockerd at ${host} runs on another machine (Linux ${kernel}, here ${release()}); run pontoon there, beside it`,
      );
    const name = `${id} ${rootDir}`;
    if (this.#config.observe || this.#identityLock?.name === name) return;
    this.#identityLock?.lock.release();
    this.#identityLock = undefined;
    this.#identityLock = { name, lock: takeLock(name, host) };
  }
}

/** What of the configuration may change while the resolver works. */
function dnsOptions({ dns }: Config) {
  return {
    defaultTtl: dns.ttl,
    orphanAfter: dns["orphan-after"],
    queryLog: dns["query-log"],
    cacheSize: dns["cache-size"] * 1_000_000,
    patience: dns.patience * 1000,
    sharesAnswers: dns["share-answers"],
    singleLabel: dns["single-label"],
  };
}

/** Root writes there under names that everybody knows. */
function makeRunDir(path: string): void {
  refuseSharedFolder(path);
  const fault = faultOfWriting(path);
  // A server that runs already needs no room.
  if (fault !== undefined && fault.code !== "ENOSPC")
    throw new PontoonError(
      "RUN_DIR_UNFIT",
      path,
      `--run-dir ${path}: it is ${fault.what}; permit writing there, or choose another folder`,
    );
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new PontoonError(
      "RUN_DIR_UNFIT",
      path,
      `--run-dir ${path} cannot be made (${errorCode(error) ?? "unknown error"}); choose a folder`,
      { cause: error },
    );
  }
  refuseSharedFolder(path); // another user may have been first
}

function refuseSharedFolder(path: string): void {
  const fault = faultOfFolder(path);
  if (fault === undefined) return;
  const remedy = "choose a folder that only root may write, in folders that only root may write, such as /run/pontoon";
  throw new PontoonError("RUN_DIR_UNFIT", path, `--run-dir ${path}: ${fault}; ${remedy}`);
}

/** Two daemons would take over the same containers, one after the other, for ever. */
function takeLock(name: string, dockerHost: string): FileLock {
  const path = `${lockFolder()}/pontoon-${createHash("sha256").update(name).digest("hex").slice(0, 8)}.lock`;
  const lock = FileLock.take(path);
  if (!lock)
    throw new PontoonError(
      "ALREADY_RUNNING",
      dockerHost,
      `another pontoon daemon follows ${dockerHost}; stop it first, \`systemctl stop pontoon\` if it is the installed one`,
    );
  return lock;
}

/** One text for one socket, by whatever links it is named. */
function canonicalAddress(address: DockerAddress): string {
  if (address.kind === "tcp") return `tcp ${address.host} ${address.port}`;
  if (address.kind === "ssh") return `ssh ${address.host} ${address.socket ?? ""}`;
  try {
    return realpathSync(address.path);
  } catch {
    return address.path; // not there yet; its folder may be a link too, which the lock by identity is for
  }
}

/** dockerd leaves out or adds a third number where the kernel has none. */
function isThisKernel(kernel: string): boolean {
  const parts = (text: string) =>
    /^(\d+)\.(\d+)(?:\.(\d+))?(.*)$/
      .exec(text)
      ?.slice(1)
      .map((part) => part ?? "0");
  return kernel === "" || parts(kernel)?.join() === parts(release())?.join();
}

function requireRoot(): void {
  if (process.getuid?.() !== 0)
    throw new PontoonError(
      "NOT_ROOT",
      "pontoon daemon",
      "pontoon daemon works with other programs' network namespaces and needs root; run: sudo pontoon daemon",
    );
}
