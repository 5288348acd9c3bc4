import { createHash } from "node:crypto";
import { mkdirSync, realpathSync, rmSync } from "node:fs";
import { release } from "node:os";
import type { Logger } from "pino";
import type { Explanation } from "../dns/protocol.js";
import { HostsKeeper } from "./backend/hosts-keeper.js";
import type { Config } from "./config.js";
import { ControlApi } from "./control/api.js";
import { recordRows } from "./control/records.js";
import { statusOf, type Status } from "./control/status.js";
import { parseDockerAddress, type DockerAddress } from "./docker/address.js";
import { daemonDnsOf, daemonSettingsOf, type DaemonSettings } from "./docker/daemon-dns.js";
import { Engine, type EngineIdentity } from "./docker/engine.js";
import { Feed } from "./docker/feed.js";
import { resolvConfRootOf, rootOf, type DockerdPlace } from "./docker/place.js";
import { pathInRoot } from "./docker/root-path.js";
import { Upstreams } from "./docker/upstreams.js";
import { describeError, errorCode, PontoonError } from "./errors.js";
import { Inventory } from "./inventory/inventory.js";
import { containerNamed, namespaceOwner } from "./inventory/targets.js";
import { makeRoomForDescriptors } from "./linux/descriptors.js";
import { FileLock, lockFolder } from "./linux/file-lock.js";
import { NodePoller } from "./linux/node-poller.js";
import { goAhead, raiseDescriptorLimit } from "./linux/privileges.js";
import { ServiceManager } from "./linux/service-manager.js";
import { checkLayouts, kernelProblem } from "./linux/selftest.js";
import { DnsRole } from "./servers/dns-role.js";
import { PortsRole } from "./servers/ports-role.js";
import { createLog } from "./log.js";
import { faultOfFolder } from "./own-folder.js";
import { isAsleep, placeOfDockerd, refusalAt } from "./servers/dockerd-process.js";
import { watchLoopDelay, type LoopDelay } from "./loop-delay.js";
import { startPulse } from "./pulse.js";
import { version } from "./version.js";

export interface DaemonOptions {
  readonly config: Config;
  /** As DOCKER_HOST may hold it. */
  readonly dockerHost: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly observe: boolean;
  readonly logLevel: string;
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
  readonly #log: Logger;
  readonly #inventory = new Inventory();
  readonly #feed: Feed;
  readonly #dns: DnsRole;
  readonly #ports: PortsRole;
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
    this.#log = createLog(options.logLevel);
    this.#manager = ServiceManager.fromEnvironment(process.env, (error) => this.#log.warn({ reason: describeError(error) }, "systemd could not be told how pontoon is"));
    this.#docker = parseDockerAddress(dockerHost, process.env);
    this.#engine = new Engine(dockerHost, this.#docker, { mayConnect: () => this.#mayConnect(), recognise: (identity) => this.#recognise(identity) });
    this.#upstreams = new Upstreams({
      resolvConf: () => pathInRoot(resolvConfRootOf(this.#place), "/etc/resolv.conf"),
      pathOf: (file, opening) => pathInRoot(rootOf(this.#place), file, opening),
      onUnfit: (file, reason) => this.#log.warn({ file, reason }, "a resolv.conf cannot be read; whom it names is not asked, and no suffix of it tried"),
      daemonDns: async () => this.#settings?.dns ?? daemonDnsOf(undefined),
      engineMajor: () => (this.#feed.state.kind === "following" ? parseInt(this.#feed.state.version, 10) : 0),
      forwardFrom: config.dns["forward-from"],
    });
    this.#dns = new DnsRole(
      this.#poller.poller,
      this.#inventory,
      (container) => this.#upstreams.of(container),
      {
        runDir,
        version,
        defaultTtl: config.dns.ttl,
        orphanAfter: config.dns["orphan-after"],
        queryLog: config.dns["query-log"],
        cacheSize: config.dns["cache-size"] * 1_000_000,
        singleLabel: config.dns["single-label"],
        takeOver: config.dns.enabled && !options.observe,
      },
      this.#log,
    );
    const { enabled, drain } = config.ports;
    this.#ports = new PortsRole(
      this.#poller.poller,
      this.#inventory,
      { enabled: enabled && !options.observe, runDir, stateDir: options.stateDir, version, ip: config.ip, drainMs: drain * 1000, userlandProxy: () => this.#settings?.userlandProxy ?? true },
      this.#log,
    );
    this.#hosts = new HostsKeeper(this.#inventory, this.#log, (file) => pathInRoot(rootOf(this.#place), file, { followLink: false }));
    this.#feed = new Feed(this.#engine, this.#inventory, this.#log, { onState: () => this.#onFeedState(), admit: () => this.#admit() });
    this.#api = new ControlApi(`${runDir}/control.sock`, {
      status: () => this.#status(),
      records: () => recordRows(this.#inventory, config.dns.ttl),
      query: (container, query) => this.#explain(container, query),
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
      throw new PontoonError("RUN_DIR_UNFIT", runDir, `--run-dir ${runDir}: too long for a unix socket; choose a path of ${socketPathAtMost - longestSocket.length} bytes at most`);
    await this.#admit();
    makeRunDir(runDir);
    if (!this.options.observe) this.#lock = takeLock(canonicalAddress(this.#docker), this.options.dockerHost);
    this.#ports.load();
    await this.#api.start();
    if (this.#stopped) return; // asked to end meanwhile
    if (this.options.watchLoop) this.#loopDelay = watchLoopDelay();
    this.#poller.start();
    this.#dns.start();
    this.#ports.start(() => this.#dns.isReady);
    if (!this.options.observe) this.#hosts.start();
    this.#feed.start();
    this.#stopPulse = startPulse(() => this.#dns.beat(), () => this.#feed.catchUp());
    this.#unwatch = this.#upstreams.watch(() => {
      this.#log.info("the host's resolv.conf has changed");
      this.#dns.reconsiderAll();
    });
    this.#log.info({ version, docker: this.options.dockerHost, observe: this.options.observe }, "pontoon daemon started");
    this.#manager.ready();
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
    const [, proxyHasEnded] = await Promise.all([this.#dns.stop(), this.#ports.stop()]);
    await this.#close(["control.sock", ...dnsServerFiles, ...(proxyHasEnded ? proxyServerFiles : [])]);
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
    this.#lock?.release();
    this.#identityLock?.lock.release();
    for (const name of files) rmSync(`${this.options.runDir}/${name}`, { force: true });
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
    return statusOf({
      ready: this.#ports.isReady && (this.#feed.state.kind === "waiting" || (this.#feed.state.kind === "following" && this.#dns.isReady)),
      version,
      observe: this.options.observe,
      dockerHost: this.options.dockerHost,
      feed: this.#feed.state,
      dnsEnabled: this.options.config.dns.enabled,
      server: this.#dns.server,
      ports: { enabled: this.options.config.ports.enabled && !this.options.observe, server: this.#ports.server, report: await this.#ports.report() },
      inventory: this.#inventory,
      decisions: this.#dns.decisions,
      failures: this.#dns.takeovers.failures,
      answering: this.#dns.answering,
      report,
      loopDelay: this.#loopDelay?.(),
    });
  }

  async #explain(nameOrId: string, query: Buffer): Promise<Explanation> {
    const named = containerNamed(this.#inventory, nameOrId);
    const container = named && namespaceOwner(this.#inventory, named);
    if (!container) throw new PontoonError("NO_SUCH_CONTAINER", nameOrId, `no container is called ${nameOrId}; see \`pontoon status\``);
    const decision = this.#dns.decisions.get(container.id);
    if (decision?.kind !== "serve") {
      const reason = decision?.reason ?? "not looked at yet";
      throw new PontoonError("NOT_SERVED", container.name, `${container.name} is answered by Docker's resolver, not by pontoon: ${reason}`);
    }
    const explanation = await this.#dns.explain(decision.sandbox.id, query);
    if (!explanation) throw new PontoonError("NOT_SERVED", container.name, `pontoon-dns does not serve ${container.name} yet; see \`pontoon status\``);
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
      throw new Error(`${this.#docker.path} is held by systemd alone, and a connection would start dockerd; \`systemctl start docker\` does`);
  }

  /** Throws DOCKERD_ELSEWHERE for a dockerd of another machine, ALREADY_RUNNING when another daemon follows it by another address. */
  #recognise({ id, rootDir, kernel }: EngineIdentity): void {
    const host = this.options.dockerHost;
    if (!isThisKernel(kernel))
      throw new PontoonError("DOCKERD_ELSEWHERE", host, `dockerd at ${host} runs on another machine (Linux ${kernel}, here ${release()}); run pontoon there, beside it`);
    const name = `${id} ${rootDir}`;
    if (this.options.observe || this.#identityLock?.name === name) return;
    this.#identityLock?.lock.release();
    this.#identityLock = undefined;
    this.#identityLock = { name, lock: takeLock(name, host) };
  }
}

/** Root writes there under names that everybody knows. */
function makeRunDir(path: string): void {
  refuseSharedFolder(path);
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new PontoonError("RUN_DIR_UNFIT", path, `--run-dir ${path} cannot be made (${errorCode(error) ?? "unknown error"}); choose a folder`, { cause: error });
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
  if (!lock) throw new PontoonError("ALREADY_RUNNING", dockerHost, `another pontoon daemon follows ${dockerHost}; stop it first, \`systemctl stop pontoon\` if it is the installed one`);
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
  const parts = (text: string) => /^(\d+)\.(\d+)(?:\.(\d+))?(.*)$/.exec(text)?.slice(1).map((part) => part ?? "0");
  return kernel === "" || parts(kernel)?.join() === parts(release())?.join();
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new PontoonError("NOT_ROOT", "pontoon daemon", "pontoon daemon works with other programs' network namespaces and needs root; run: sudo pontoon daemon");
}
