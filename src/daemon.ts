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
import { Upstreams } from "./docker/upstreams.js";
import { describeError, PontoonError } from "./errors.js";
import { Inventory } from "./inventory/inventory.js";
import { NodePoller } from "./linux/node-poller.js";
import { raiseDescriptorLimit } from "./linux/privileges.js";
import { checkLayouts, kernelProblem } from "./linux/selftest.js";
import { DnsRole } from "./servers/dns-role.js";
import { createLog } from "./log.js";
import { findDockerd } from "./servers/dockerd-process.js";
import { version } from "./version.js";

export interface DaemonOptions {
  readonly config: Config;
  /** As DOCKER_HOST may hold it. */
  readonly dockerHost: string;
  readonly runDir: string;
  readonly observe: boolean;
  readonly logLevel: string;
}

/** The composition root: everything the daemon consists of is made and wired here. */
export class Daemon {
  readonly #log: Logger;
  readonly #inventory = new Inventory();
  readonly #feed: Feed;
  readonly #dns: DnsRole;
  readonly #hosts: HostsKeeper;
  readonly #api: ControlApi;
  readonly #poller = new NodePoller();
  #stopped: Promise<void> | undefined;

  constructor(private readonly options: DaemonOptions) {
    const { config, runDir, dockerHost } = options;
    this.#log = createLog(options.logLevel);
    const engine = new Engine(dockerHost);
    const dockerd = () => findDockerd(dockerHost);
    const upstreams = new Upstreams({
      resolvConf: "/etc/resolv.conf",
      daemonDns: () => daemonDnsOf(dockerd()),
      engineMajor: () => (this.#feed.state.kind === "following" ? parseInt(this.#feed.state.version, 10) : 0),
    });
    this.#dns = new DnsRole(
      this.#poller.poller,
      this.#inventory,
      (container) => upstreams.of(container),
      { runDir, version, defaultTtl: config.dns.ttl, orphanAfter: config.dns["orphan-after"], queryLog: config.dns["query-log"], observe: options.observe },
      this.#log,
    );
    this.#hosts = new HostsKeeper(this.#inventory, this.#log);
    this.#feed = new Feed(engine, this.#inventory, this.#log, { onState: () => this.#onFeedState() });
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
    mkdirSync(this.options.runDir, { recursive: true, mode: 0o755 });
    await this.#api.start();
    this.#poller.start();
    this.#dns.start();
    if (!this.options.observe) this.#hosts.start();
    this.#feed.start();
    this.#log.info({ version, docker: this.options.dockerHost, observe: this.options.observe }, "pontoon daemon started");
  }

  /** Gives every namespace back to Docker, then ends. Can be called twice. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#log.info("giving every container back to Docker's resolver");
    this.#feed.stop();
    this.#hosts.stop();
    await this.#dns.stop();
    await this.#api.stop();
    this.#poller.stop();
    for (const name of ["control.sock", "dns.sock", "dns.log"]) rmSync(`${this.options.runDir}/${name}`, { force: true });
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
    const container = this.#findContainer(nameOrId);
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

  #findContainer(nameOrId: string) {
    const containers = [...this.#inventory.containers.values()];
    return containers.find(({ name }) => name === nameOrId) ?? containers.find(({ id }) => nameOrId.length >= 4 && id.startsWith(nameOrId));
  }
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new PontoonError("NOT_ROOT", "pontoon daemon", "pontoon daemon works with other programs' network namespaces and needs root; run: sudo pontoon daemon");
}
