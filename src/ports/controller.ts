import { existsSync } from "node:fs";
import type { Logger } from "pino";
import type { PortSpan } from "../../proxy/dial/source-ports.js";
import type { Report } from "../../proxy/protocol.js";
import type { EndpointPorts } from "../inventory/endpoint-ports.js";
import { dialFailureText } from "./dial-failures.js";
import { portRows, rowOfEntry } from "./rows.js";
import type { KernelForward } from "../../network/firewall/wanted.js";
import { forwardsOf, pathOf } from "./kernel-path.js";
import type { PortRow, PublishRequest, UnpublishRequest } from "./contract.js";
import { withDeadline } from "../../common/deadline.js";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import { containerNamed } from "../inventory/targets.js";
import type { Poller } from "../../linux/poller.js";
import type { Store } from "../store/store.js";
import { PublicationStore } from "./publication-store.js";
import { LostAddresses } from "./lost-addresses.js";
import { ProxyClient } from "./proxy-client.js";
import type { Inherited } from "./served-ports.js";
import { proxyFiles, proxyServer } from "./program.js";
import { PublishedPorts } from "./published-ports.js";
import { Publisher } from "./publisher.js";
import type { ServerState } from "../supervisor/supervisor.js";
import { pidOfServer } from "../supervisor/process.js";
import { WantedPorts } from "./wanted-ports.js";
import { lookForHolders, UnboundPorts } from "./unbound-ports.js";

/** Until a pontoon-proxy that is just starting is there, ms. */
const beginTime = 10_000;
/** A pontoon-proxy that nobody waits for is started by then, ms. */
const latestStart = 3000;
const lookEvery = 50;
/** Until dockerd has told what containers there are, ms. */
const completeTime = 4000;

/** How often the kernel is told of ports at the most: many change together, ms. */
const gathering = 10;

export interface PortsControllerOptions {
  /** What the kernel is to forward, by port, has changed. */
  readonly onForwards?: (forwards: ReadonlyMap<string, KernelForward>) => Promise<void>;
  readonly enabled: boolean;
  /** False where the host's firewall is left alone: pontoon-proxy serves every port. */
  readonly kernelMay: boolean;
  readonly runDir: string;
  readonly stateDir: string;
  readonly version: string;
  /** Address of publications that name none. */
  readonly ip: string | undefined;
  /** How long connections may go on after their port was unpublished, ms. */
  readonly drainMs: number;
  /** That UDP flows are sent from. */
  readonly sourcePorts: PortSpan;
  /** Whether dockerd has a userland proxy. */
  readonly userlandProxy: () => boolean;
}

/** The port proxy role: ports that dockerd publishes, and those pontoon publishes itself. */
export class PortsController {
  readonly #proxy: ProxyClient;
  readonly #ports: PublishedPorts;
  readonly #publisher: Publisher;
  readonly #unbound: UnboundPorts;
  #begun!: () => void;
  readonly #whenBegun = new Promise<void>((resolve) => (this.#begun = resolve));
  #completed!: () => void;
  readonly #whenComplete = new Promise<void>((resolve) => (this.#completed = resolve));
  #hasBegun = false;
  #starting: NodeJS.Timeout | undefined;
  #telling: NodeJS.Timeout | undefined;
  /** Why it is not known what is to be published. */
  #unread: PontoonError | undefined;

  constructor(
    poller: Poller,
    private readonly inventory: Inventory,
    store: Store,
    private readonly options: PortsControllerOptions,
    private readonly log: Logger,
  ) {
    const { runDir, stateDir, version, ip, drainMs, sourcePorts } = options;
    this.#proxy = new ProxyClient(poller, { runDir, version, settings: { drainMs, sourcePorts } }, log, {
      onBegin: (inherited) => void this.#begin(inherited),
      onFailed: (id, reason) => this.#ports.failed(id, reason),
      onFailedDials: (id, reason) => this.#tellFailedDials(id, reason),
    });
    new LostAddresses(inventory, (addresses) => this.#proxy.gone(addresses));
    new WantedPorts(inventory, sourcePorts, (ports) => (this.#proxy.avoided = ports));
    const publications = new PublicationStore(store, stateDir, {
      onDamage: (damage) =>
        log.error(
          damage,
          "the list of published ports was damaged; what of it makes sense is published, and what pontoon-proxy still serves",
        ),
      onUnwritable: (error) =>
        log.error(
          { code: errorCode(error), reason: describeError(error) },
          "the list of published ports of an earlier version cannot be taken over yet; what it says is published",
        ),
    });
    this.#ports = new PublishedPorts(
      inventory,
      this.#proxy,
      publications,
      { drainMs, sourcePorts },
      log,
      options.userlandProxy,
      () => this.#tellForwardsSoon(),
    );
    this.#publisher = new Publisher(inventory, this.#ports, ip, log);
    this.#unbound = new UnboundPorts(inventory, log, async (ports) => {
      const holders = await lookForHolders(ports);
      return ports.map((port, index) => `${holders[index]}${this.#ports.holderOf(port)}`);
    });
  }

  async #begin(inherited: readonly Inherited[]): Promise<void> {
    await this.#ports.restore(inherited);
    this.#publisher.start();
    this.#hasBegun = true;
    this.#begun();
  }

  /** Of ports that dockerd publishes as well. */
  #tellFailedDials(id: string, reason: string): void {
    const entry = this.#ports.entries.get(id);
    const publication = entry ? { container: entry.port.container } : { publication: id };
    this.log.warn(
      { ...publication, reason: dialFailureText(reason, entry?.target) },
      "connections to a published port fail; `pontoon port --long` counts them",
    );
  }

  #tellForwardsSoon(): void {
    this.#telling ??= setTimeout(() => void this.#tellForwards(), gathering);
  }

  /** Resolves when the kernel forwards what it is to, and nothing else. */
  async #tellForwards(): Promise<void> {
    clearTimeout(this.#telling);
    this.#telling = undefined;
    await this.options.onForwards?.(forwardsOf(this.inventory, this.#ports.entries, this.options.kernelMay));
  }

  get server(): ServerState {
    return this.#proxy.server;
  }

  /** A running pontoon-proxy that another daemon has started and this one leaves alone. */
  get unsteered(): number | undefined {
    return this.isOn ? undefined : pidOfServer(proxyServer, proxyFiles(this.options.runDir).pidPath);
  }

  get isReady(): boolean {
    return !this.isOn || (this.#hasBegun && this.server.kind === "running");
  }

  /** Why nothing is published, when what is to be could not be read. */
  get unread(): string | undefined {
    return this.#unread?.message;
  }

  /** Whether ports are published: it is wanted, and what is to be published could be read. */
  get isOn(): boolean {
    return this.options.enabled && this.#unread === undefined;
  }

  /**
   * Reads what is to be published, before anything is started. If that cannot be read, nothing is published or taken back, and
   * a pontoon-proxy that runs is left alone.
   */
  load(): void {
    if (!this.options.enabled) return;
    try {
      this.#ports.load();
    } catch (error) {
      if (!(error instanceof PontoonError) || error.code !== "STORE_UNREADABLE") throw error;
      this.#unread = error;
      this.log.error(
        { code: error.code, reason: error.message },
        "it is not known what is to be published, so nothing is; do as it says, then restart the daemon",
      );
    }
  }

  /**
   * Starts pontoon-proxy, or takes up the one that runs.
   * @param namesAreAnswered whether containers have their names: until then, but not for long, a process that nobody waits for
   * is not started, since it would take the processors from the takeover of what runs already
   */
  start(namesAreAnswered: () => boolean): void {
    if (!this.isOn) return;
    const isWaitedFor = this.#ports.hasRemembered || existsSync(proxyFiles(this.options.runDir).pidPath);
    if (isWaitedFor) return this.#proxy.start();
    const latest = performance.now() + latestStart;
    this.#starting = setInterval(() => {
      if (!namesAreAnswered() && performance.now() < latest) return;
      clearInterval(this.#starting);
      this.#proxy.start();
    }, lookEvery);
  }

  /** Published ports outlive the daemon: pontoon-proxy ends only if it serves none. @returns whether it has, or will when its connections have */
  async stop(): Promise<boolean> {
    clearInterval(this.#starting);
    clearTimeout(this.#telling);
    await this.#publisher.stop();
    if (!this.isOn) return this.unsteered === undefined;
    const report = await this.report();
    const published = report?.publications.length ?? this.#ports.entries.size;
    if (published > 0) {
      this.log.info(
        { ports: published },
        "published ports are left to pontoon-proxy; they follow their containers again when a daemon runs",
      );
      this.#proxy.leave();
      return false;
    }
    if (report !== undefined && report.draining > 0) this.#proxy.retire();
    else await this.#proxy.stop();
    return true;
  }

  /** Leaves everything as it is, for the next daemon. */
  async leave(): Promise<void> {
    clearInterval(this.#starting);
    clearTimeout(this.#telling);
    await this.#publisher.stop();
    this.#proxy.leave();
  }

  /** Some source of the inventory is complete: from now on ports follow its containers. */
  async inventoryIsComplete(): Promise<void> {
    if (!this.isOn) return;
    await this.#whenBegun;
    this.#publisher.inventoryIsComplete();
    if (this.inventory.isComplete()) this.#completed();
  }

  /** As {@link Publisher.publish}. */
  async publish(request: PublishRequest): Promise<PortRow[]> {
    await this.#ready();
    await withDeadline(
      completeTime,
      this.#whenKnown(request.container),
      () =>
        new PontoonError(
          "DOCKERD_SILENT",
          request.container,
          "dockerd has not told yet what containers there are; see `pontoon status`",
        ),
    );
    const entries = await this.#publisher.publish(request);
    await this.#tellForwards();
    return entries.map((entry) => rowOfEntry(entry, undefined, pathOf(this.inventory, entry, this.options.kernelMay)));
  }

  /** Resolves when it is known which container that is, or that there is none. */
  async #whenKnown(nameOrId: string): Promise<void> {
    const container = containerNamed(this.inventory, nameOrId);
    if (!this.inventory.isComplete(container && [container.source])) await this.#whenComplete;
  }

  /** As {@link Publisher.unpublish}. */
  async unpublish(request: UnpublishRequest): Promise<PortRow[]> {
    await this.#ready();
    const entries = await this.#publisher.unpublish(request);
    await this.#tellForwards();
    return entries.map((entry) => rowOfEntry(entry));
  }

  /** As {@link Publisher.publishEndpoint}; resolves when the kernel forwards what it can. */
  async publishEndpoint(request: EndpointPorts): Promise<void> {
    await this.#ready();
    await this.#publisher.publishEndpoint(request);
    await this.#tellForwards();
  }

  /**
   * As {@link Publisher.unpublishEndpoint}. While it is not known yet what an earlier daemon has published, it is done as soon
   * as that is known, and nobody waits for it.
   */
  async unpublishEndpoint(endpoint: string): Promise<void> {
    if (!this.isOn || (this.#hasBegun && !this.#ports.all.some(({ port }) => port.endpoint?.id === endpoint))) return;
    const done = this.#whenBegun.then(async () => {
      await this.#publisher.unpublishEndpoint(endpoint);
      await this.#tellForwards();
    });
    if (this.#hasBegun) return done;
    done.catch((error: unknown) =>
      this.log.warn({ reason: describeError(error) }, "ports of a container that has left are still published"),
    );
  }

  /** Ids of endpoints that have published ports. */
  get endpoints(): ReadonlySet<string> {
    return new Set(this.#ports.all.flatMap(({ port }) => port.endpoint?.id ?? []));
  }

  /** Never rejects: its ports go by the old name until the next time. */
  async renameEndpoint(endpoint: string, container: string): Promise<void> {
    if (!this.isOn) return;
    await this.#whenBegun;
    await this.#publisher.renameEndpoint(endpoint, container).catch((error: unknown) => {
      this.log.warn({ container, reason: describeError(error) }, "a published port is still listed by an old name");
    });
  }

  /** Never rejects. What its ports lead to has other addresses now, or none. */
  async moveEndpoint(endpoint: string, to: EndpointPorts["to"]): Promise<void> {
    if (!this.isOn) return;
    await this.#whenBegun;
    try {
      await this.#publisher.moveEndpoint(endpoint, to);
      await this.#tellForwards();
    } catch (error) {
      this.log.warn(
        { reason: describeError(error) },
        "published ports of a container lead to an address it had before",
      );
    }
  }

  /** Throws NO_SUCH_CONTAINER. @param container all of the host's without one */
  async rows(container: string | undefined): Promise<PortRow[]> {
    const { inventory } = this;
    return portRows(
      {
        inventory,
        entries: this.#ports.all,
        labelFailures: this.#publisher.labelFailures,
        unbound: await this.#unbound.reasons(),
        kernelMay: this.options.kernelMay,
        report: await this.report(),
      },
      container,
    );
  }

  /** @returns undefined when pontoon-proxy does not answer */
  async report(): Promise<Report | undefined> {
    return this.#proxy.report().catch((error: unknown) => {
      this.log.warn({ reason: describeError(error) }, "pontoon-proxy did not report");
      return undefined;
    });
  }

  async #ready(): Promise<void> {
    if (this.#unread) throw this.#unread;
    if (!this.options.enabled)
      throw new PontoonError(
        "ROLE_OFF",
        "ports",
        "publishing is switched off (ports.enabled in the configuration, or --observe); switch it on and restart the daemon",
      );
    await withDeadline(
      beginTime,
      this.#whenBegun,
      () => new PontoonError("SERVER_SILENT", "pontoon-proxy", "pontoon-proxy is not running; see `pontoon status`"),
    );
  }
}
