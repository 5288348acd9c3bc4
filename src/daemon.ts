import { createHash } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import type { Logger } from "pino";
import type { Explanation } from "../dns/protocol.js";
import { HostsKeeper } from "./backend/hosts-keeper.js";
import type { Config } from "./config.js";
import { ControlApi } from "./control/api.js";
import { recordRows } from "./control/records.js";
import { statusOf, type Status } from "./control/status.js";
import { daemonDnsOf } from "./docker/daemon-dns.js";
import { Engine } from "./docker/engine.js";
import { Feed } from "./docker/feed.js";
import { resolvConfRootOf, rootOf, type DockerdPlace } from "./docker/place.js";
import { pathInRoot } from "./docker/root-path.js";
import { Upstreams, type DaemonDns } from "./docker/upstreams.js";
import { describeError, errorCode, PontoonError } from "./errors.js";
import { Inventory } from "./inventory/inventory.js";
import { FileLock, lockFolder } from "./linux/file-lock.js";
import { NodePoller } from "./linux/node-poller.js";
import { raiseDescriptorLimit } from "./linux/privileges.js";
import { checkLayouts, kernelProblem } from "./linux/selftest.js";
import { DnsRole } from "./servers/dns-role.js";
import { createLog } from "./log.js";
import { placeOfDockerd, refusalAt } from "./servers/dockerd-process.js";
import { version } from "./version.js";

export interface DaemonOptions {
  readonly config: Config;
  /** As DOCKER_HOST may hold it. */
  readonly dockerHost: string;
  readonly runDir: string;
  readonly observe: boolean;
  readonly logLevel: string;
}

const socketPathAtMost = 107; // bytes, unix(7)

/** The composition root: everything the daemon consists of is made and wired here. */
export class Daemon {
  readonly #log: Logger;
  readonly #inventory = new Inventory();
  readonly #feed: Feed;
  readonly #dns: DnsRole;
  readonly #hosts: HostsKeeper;
  readonly #api: ControlApi;
  readonly #poller = new NodePoller();
  readonly #upstreams: Upstreams;
  readonly #engine: Engine;
  /** Of the dockerd that is followed, or was last. */
  #place: DockerdPlace = { kind: "untold" };
  #daemonDns: Promise<DaemonDns> | undefined;
  #unwatch: (() => void) | undefined;
  #lock: FileLock | undefined;
  #stopped: Promise<void> | undefined;

  constructor(private readonly options: DaemonOptions) {
    const { config, runDir, dockerHost } = options;
    this.#log = createLog(options.logLevel);
    this.#engine = new Engine(dockerHost);
    this.#upstreams = new Upstreams({
      resolvConf: () => pathInRoot(resolvConfRootOf(this.#place), "/etc/resolv.conf"),
      pathOf: (file) => pathInRoot(rootOf(this.#place), file),
      daemonDns: () => (this.#daemonDns ??= daemonDnsOf(undefined)),
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
        observe: options.observe,
      },
      this.#log,
    );
    this.#hosts = new HostsKeeper(this.#inventory, this.#log, (file) => pathInRoot(rootOf(this.#place), file));
    this.#feed = new Feed(this.#engine, this.#inventory, this.#log, { onState: () => this.#onFeedState(), admit: () => this.#admit() });
    this.#api = new ControlApi(`${runDir}/control.sock`, {
      status: () => this.#status(),
      records: () => recordRows(this.#inventory, config.dns.ttl),
      query: (container, query) => this.#explain(container, query),
    });
  }

  /** Throws when root, the kernel or the run directory do not allow it; nothing is left behind then. */
  async start(): Promise<void> {
    requireRoot();
    const problem = kernelProblem();
    if (problem !== undefined) throw new PontoonError("KERNEL_UNFIT", "kernel", problem);
    checkLayouts();
    raiseDescriptorLimit();
    const { runDir } = this.options;
    // Node cuts a longer path short, and listens at what is left of it.
    if (Buffer.byteLength(`${runDir}/control.sock`) > socketPathAtMost)
      throw new PontoonError("RUN_DIR_UNFIT", runDir, `--run-dir ${runDir}: too long for a unix socket; choose a path of ${socketPathAtMost - "/control.sock".length} bytes at most`);
    await this.#admit();
    makeRunDir(runDir);
    if (!this.options.observe) this.#lock = lockFor(this.options.dockerHost);
    await this.#api.start();
    if (this.#stopped) return; // asked to end meanwhile
    this.#poller.start();
    this.#dns.start();
    if (!this.options.observe) this.#hosts.start();
    this.#feed.start();
    this.#unwatch = this.#upstreams.watch(() => {
      this.#log.info("the host's resolv.conf has changed");
      this.#dns.reconsiderAll();
    });
    this.#log.info({ version, docker: this.options.dockerHost, observe: this.options.observe }, "pontoon daemon started");
  }

  /** Gives every namespace back to Docker, then ends. Can be called twice. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#log.info("giving every container back to Docker's resolver");
    this.#unwatch?.();
    this.#feed.stop();
    this.#hosts.stop();
    await this.#dns.stop();
    await this.#api.stop();
    this.#poller.stop();
    this.#lock?.release();
    for (const name of ["control.sock", "dns.sock", "dns.log", "dns.pid"]) rmSync(`${this.options.runDir}/${name}`, { force: true });
    this.#log.info("stopped");
  }

  #onFeedState(): void {
    const { state, joins } = this.#feed;
    const isComplete = state.kind === "following";
    this.#dns.setGap({ everywhere: !isComplete, networks: joins.networks() });
    if (isComplete) void this.#dns.mayTakeOver();
  }

  async #status(): Promise<Status> {
    const report = await this.#dns.report().catch((error: unknown) => {
      this.#log.warn({ reason: describeError(error) }, "pontoon-dns did not report");
      return undefined;
    });
    return statusOf({
      ready: this.#feed.state.kind === "waiting" || (this.#feed.state.kind === "following" && this.#dns.isReady),
      version,
      observe: this.options.observe,
      dockerHost: this.options.dockerHost,
      feed: this.#feed.state,
      server: this.#dns.server,
      inventory: this.#inventory,
      decisions: this.#dns.decisions,
      failures: this.#dns.takeovers.failures,
      answering: this.#dns.answering,
      report,
    });
  }

  async #explain(nameOrId: string, query: Buffer): Promise<Explanation> {
    const named = this.#findContainer(nameOrId);
    const container = named?.networkMode.kind === "container" ? this.#findContainer(named.networkMode.of) : named;
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
    const place = placeOfDockerd(this.options.dockerHost);
    if (!place) return; // nobody is there: the feed waits
    const refusal = await refusalAt(this.#engine, place);
    if (refusal !== undefined) throw new PontoonError("DOCKERD_ELSEWHERE", this.options.dockerHost, refusal);
    this.#place = place;
    this.#daemonDns = daemonDnsOf(place.kind === "seen" ? place.pid : undefined);
  }

  #findContainer(nameOrId: string) {
    const containers = [...this.#inventory.containers.values()];
    return containers.find(({ name }) => name === nameOrId) ?? containers.find(({ id }) => nameOrId.length >= 4 && id.startsWith(nameOrId));
  }
}

function makeRunDir(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new PontoonError("RUN_DIR_UNFIT", path, `--run-dir ${path} cannot be made (${errorCode(error) ?? "unknown error"}); choose a folder`, { cause: error });
  }
}

/** Two daemons would take over the same containers, one after the other, for ever. */
function lockFor(dockerHost: string): FileLock {
  const path = `${lockFolder()}/pontoon-${createHash("sha256").update(dockerHost).digest("hex").slice(0, 8)}.lock`;
  const lock = FileLock.take(path);
  if (!lock) throw new PontoonError("ALREADY_RUNNING", dockerHost, `another pontoon daemon follows ${dockerHost}; stop it first`);
  return lock;
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new PontoonError("NOT_ROOT", "pontoon daemon", "pontoon daemon works with other programs' network namespaces and needs root; run: sudo pontoon daemon");
}
