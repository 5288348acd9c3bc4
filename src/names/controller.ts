import type { Logger } from "pino";
import type { Explanation, Gap, QueryLogEntry, Report, ToDaemon } from "../../dns/protocol.js";
import type { ForwardingSettings } from "../docker/upstreams.js";
import { describeError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import type { Container } from "../inventory/types.js";
import { Allowance } from "./allowance.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor } from "../../linux/socket.js";
import { dnsFiles, dnsServer, type DnsLanguage, type HeldSandbox } from "./program.js";
import { decide, endpointRecords, networkRecord, type Decision } from "./records.js";
import type { DnsState } from "./dns-state.js";
import { GapKeeper } from "./gap.js";
import { ReviewQueue } from "./review-queue.js";
import { ServerClient, type ServerState } from "../supervisor/supervisor.js";
import { pidOfServer } from "../supervisor/process.js";
import { TableMirror } from "./table-mirror.js";
import { Takeovers } from "./takeovers/takeovers.js";
import { takenOver } from "./unsteered.js";

const retryFailuresEvery = 1000; // ms
/** Rules of iptables' legacy variant change unheard, ms. */
const silentChangesEvery = 3000;
/** A server hands over its log ten times a second. */
const logsEach = 30; // ms
const logsAtOnce = 200;

export interface DnsControllerOptions {
  readonly runDir: string;
  readonly version: string;
  /** Seconds. */
  readonly defaultTtl: number;
  readonly orphanAfter: number;
  readonly queryLog: boolean;
  /** Bytes. */
  readonly cacheSize: number;
  /** Milliseconds an upstream may be silent before a later one's answer counts. */
  readonly patience: number;
  readonly sharesAnswers: boolean;
  readonly singleLabel: "forward" | "local";
  /** False: take over nothing; only work out what would be. */
  readonly takeOver: boolean;
}

/** Finds out whom to forward to for a container; may read files. */
export type ForwardingSettingsOf = (container: Container) => Promise<ForwardingSettings>;

/**
 * The resolver role: from the inventory to what pontoon-dns knows and to which namespaces are taken over.
 * Decides nothing about names itself; that is the server's.
 */
export class DnsController {
  readonly decisions = new Map<string, Decision>();
  readonly answering = new Set<string>();
  readonly #mirror = new TableMirror();
  readonly #client: ServerClient<DnsLanguage>;
  readonly takeovers: Takeovers;
  readonly #networksOf = new Map<string, Set<string>>();
  /** Networks of containers with more names than are kept. */
  readonly #incomplete = new Map<string, readonly string[]>();
  readonly #reviewQueue = new ReviewQueue({
    reviewNetwork: (id) => this.#reviewNetwork(id),
    reviewContainer: (id) => this.#reviewContainer(id),
    onReviewed: () => this.#gap.close(),
  });
  readonly #gap = new GapKeeper((gap) => this.#mirror.put("gap", { kind: "gap", gap }));
  readonly #logTurns = new Allowance(logsEach, logsAtOnce);
  #mayTakeOver = false;
  #retry: NodeJS.Timeout | undefined;
  #silentChanges: NodeJS.Timeout | undefined;
  #stopping = false;
  #connected = false;
  /** Set while a connected server waits for the first complete inventory. */
  #waitingHeld: readonly HeldSandbox[] | undefined;

  constructor(
    poller: Poller,
    private readonly inventory: Inventory,
    private readonly forwardingSettingsOf: ForwardingSettingsOf,
    private options: DnsControllerOptions,
    private readonly log: Logger,
  ) {
    this.#client = new ServerClient(
      dnsServer,
      poller,
      { files: dnsFiles(options.runDir), version: options.version },
      log,
      {
        onConnected: (held) => this.#onConnected(held),
        onLost: () => this.#onLost(),
        onGivenUp: (held) => {
          this.#adoptUnseen(held);
          void this.takeovers.abandonAll();
        },
        onMessage: (message) => this.#onMessage(message),
      },
    );
    this.takeovers = new Takeovers(
      poller,
      log,
      (sandbox) => this.#onEnded(sandbox),
      (what) => this.#client.refuse(what),
      (sandbox, error) => this.#giveBack(sandbox, error),
    );
    this.#putSettings();
    this.setGap({ everywhere: true, networks: [] });
    inventory.onChange((change) => this.#reviewQueue.request(change));
  }

  get server(): ServerState {
    return this.#client.state;
  }

  start(): void {
    if (!this.options.takeOver) return;
    this.#retry = setInterval(() => this.#reconsiderFailures(), retryFailuresEvery);
    this.#silentChanges = setInterval(() => void this.takeovers.lookForSilentChanges(), silentChangesEvery);
    this.#client.start();
  }

  /** A running server that another daemon has started and this one leaves alone. */
  get unsteered(): number | undefined {
    return this.options.takeOver ? undefined : pidOfServer(dnsServer, dnsFiles(this.options.runDir).pidPath);
  }

  /** Gives every namespace back to Docker and ends the server. @returns whether none runs any more */
  async stop(): Promise<boolean> {
    this.#stopping = true;
    clearInterval(this.#retry);
    clearInterval(this.#silentChanges);
    this.#adoptUnseen([]);
    await Promise.all(this.takeovers.sandboxes.map((sandbox) => this.takeovers.letGo(sandbox)));
    await this.#client.stop();
    await this.takeovers.abandonAll();
    return this.unsteered === undefined;
  }

  /** Leaves everything as it is, served on by the server, for the next daemon. */
  leave(): void {
    this.#stopping = true;
    clearInterval(this.#retry);
    clearInterval(this.#silentChanges);
    this.#client.leave();
  }

  /** The inventory is complete: from now on namespaces are taken over, and what a server held before is known or not. */
  async mayTakeOver(): Promise<void> {
    if (this.#mayTakeOver) return;
    await this.#reviewQueue.settled();
    this.#mayTakeOver = true;
    for (const decision of this.decisions.values()) this.#act(decision);
    if (this.#waitingHeld) this.#onConnected(this.#waitingHeld);
  }

  /** Takes up other options while everything runs, but for those the server was started with. */
  configure(options: Omit<DnsControllerOptions, "runDir" | "version" | "takeOver">): void {
    this.options = { ...this.options, ...options };
    this.#putSettings();
    this.reconsiderAll();
  }

  #putSettings(): void {
    const { orphanAfter, queryLog, cacheSize, patience } = this.options;
    this.#mirror.put("settings", {
      kind: "settings",
      settings: { orphanAfter, queryLog, cacheSize, patience: Math.round(patience) },
    });
  }

  /** Tells the server that this daemon lives. What it was told before stays told before. */
  beat(): void {
    this.#client.sendOrDrop({ kind: "alive" });
  }

  /** A gap opens at once; it closes only after the server has the records that fill it. */
  setGap(gap: Gap): void {
    this.#gap.want(gap);
    this.#reviewQueue.request();
  }

  /** @returns undefined when the server does not know the sandbox or cannot read the query. Throws SERVER_SILENT. */
  async explain(sandbox: string, query: Buffer): Promise<Explanation | undefined> {
    const [{ explanation }] = await this.#client.request(
      (request) => ({ kind: "explain", request, sandbox, query: query.toString("base64") }),
      "explained",
    );
    return explanation;
  }

  /** Has the server forget what upstreams have said of a name, or of every name. @returns how many answers that were. Throws SERVER_SILENT. */
  async flush(name: string | undefined): Promise<number> {
    const [{ answers }] = await this.#client.request(
      (request) => ({ kind: "flush", request, ...(name !== undefined && { name }) }),
      "flushed",
    );
    return answers;
  }

  async state(): Promise<DnsState> {
    const report = await this.#report().catch((error: unknown) => {
      this.log.warn({ reason: describeError(error) }, "pontoon-dns did not report");
      return undefined;
    });
    return {
      server: this.server,
      decisions: this.decisions,
      failures: this.takeovers.failures,
      answering: this.answering,
      unsteered: this.unsteered,
      takenOver: this.options.takeOver ? new Set() : await takenOver(this.decisions.values()),
      report,
    };
  }

  async #report(): Promise<Report | undefined> {
    if (!this.#client.connected) return undefined;
    const parts = await this.#client.request((request) => ({ kind: "report", request }), "reported");
    return { ...parts.at(-1)!.report, sandboxes: parts.flatMap(({ report }) => report.sandboxes) };
  }

  /** Whether every container that should be answered is, or cannot be for a reason that `failures` tells. */
  get isReady(): boolean {
    if (!this.#mayTakeOver) return false;
    if (!this.options.takeOver) return true;
    return (
      this.#connected &&
      [...this.decisions.values()].every(
        (decision) => decision.kind !== "serve" || this.#isSettled(decision.sandbox.id),
      )
    );
  }

  #isSettled(sandbox: string): boolean {
    return this.answering.has(sandbox) || this.takeovers.failures.has(sandbox);
  }

  /** Whom containers forward to may have changed on the host. */
  reconsiderAll(): void {
    this.#reviewQueue.request({ containers: this.inventory.containers.keys() });
  }

  #reviewNetwork(id: string): void {
    const network = this.inventory.networks.get(id);
    if (network && !network.predefined)
      this.#mirror.put(`network ${id}`, { kind: "network", network: networkRecord(this.inventory, network) });
    else this.#mirror.remove(`network ${id}`, { kind: "network-gone", id });
    this.#reviewQueue.request({ containers: this.inventory.containersOn(id) });
  }

  #reviewContainer(id: string): Promise<void> | undefined {
    const container = this.inventory.containers.get(id);
    this.#reviewEndpoints(id, container);
    this.#reviewExcess(id, container);
    if (container) return this.#reviewSandbox(container);
    this.#leave(id);
    return undefined;
  }

  #reviewEndpoints(id: string, container: Container | undefined): void {
    const records = container ? endpointRecords(this.inventory, container, this.options.defaultTtl) : [];
    const networks = new Set(records.map(({ network }) => network));
    for (const network of this.#networksOf.get(id) ?? [])
      if (!networks.has(network))
        this.#mirror.remove(`endpoint ${network} ${id}`, { kind: "endpoint-gone", network, container: id });
    for (const endpoint of records)
      this.#mirror.put(`endpoint ${endpoint.network} ${id}`, { kind: "endpoint", endpoint });
    if (networks.size > 0) this.#networksOf.set(id, networks);
    else this.#networksOf.delete(id);
  }

  /** Whether the table has all names of a network depends on those who are on it. */
  #reviewExcess(id: string, container: Container | undefined): void {
    const before = this.#incomplete.get(id) ?? [];
    const now =
      container?.excess?.names === true
        ? container.endpoints.flatMap((endpoint) => this.inventory.networkOf(endpoint)?.id ?? [])
        : [];
    if (now.length > 0) this.#incomplete.set(id, now);
    else this.#incomplete.delete(id);
    for (const network of new Set([...before, ...now]))
      if (before.includes(network) !== now.includes(network)) this.#reviewNetwork(network);
  }

  async #reviewSandbox(container: Container): Promise<void> {
    try {
      const outside = await this.forwardingSettingsOf(container);
      const current = this.inventory.containers.get(container.id);
      if (current !== container) return; // overtaken: the newer state is reviewed on its own
      const decision = decide(this.inventory, container, outside, this.options);
      const before = this.decisions.get(container.id);
      if (before?.kind === "serve" && (decision.kind !== "serve" || decision.sandbox.id !== before.sandbox.id))
        this.#letGo(before.sandbox.id);
      if (
        decision.kind === "leave" &&
        decision.code !== undefined &&
        (before?.kind !== "leave" || before.reason !== decision.reason)
      )
        this.log.warn(
          { container: container.name, code: decision.code, reason: decision.reason },
          "a container is left to Docker's resolver",
        );
      this.decisions.set(container.id, decision);
      this.#act(decision);
    } catch (error) {
      this.log.warn(
        { container: container.name, reason: describeError(error) },
        "could not work out a container's resolver; left as it is",
      );
    }
  }

  #act(decision: Decision): void {
    if (decision.kind !== "serve" || !this.#mayTakeOver || !this.options.takeOver || this.#stopping) return;
    const { sandbox, pid } = decision;
    this.#mirror.put(`sandbox ${sandbox.id}`, { kind: "sandbox", sandbox });
    // Not before a server is there, and has said what it holds from an earlier daemon.
    if (this.#connected) this.takeovers.want(sandbox.id, { pid, container: sandbox.container });
  }

  #leave(container: string): void {
    const decision = this.decisions.get(container);
    this.decisions.delete(container);
    if (decision?.kind === "serve") this.#letGo(decision.sandbox.id);
  }

  #letGo(sandbox: string): void {
    this.#mirror.remove(`sandbox ${sandbox}`);
    this.answering.delete(sandbox);
    void this.takeovers.letGo(sandbox).then(() => this.#wantedAgain(sandbox));
  }

  /** Its own rules redirect DNS by now. It is tried again as what could not be taken over in the first place. */
  #giveBack(sandbox: string, error: unknown): void {
    this.#mirror.remove(`sandbox ${sandbox}`);
    this.answering.delete(sandbox);
    // A review may have told of it meanwhile, and the server has forgotten that.
    void this.takeovers
      .giveBack(sandbox, error)
      .then(() => this.takeovers.has(sandbox) || this.#mirror.remove(`sandbox ${sandbox}`));
  }

  /** It was wanted again while it was being let go of: the server has forgotten it by now, record and all. */
  #wantedAgain(sandbox: string): void {
    for (const decision of this.decisions.values()) {
      if (decision.kind !== "serve" || decision.sandbox.id !== sandbox || this.takeovers.has(sandbox)) continue;
      this.#mirror.remove(`sandbox ${sandbox}`);
      this.#act(decision);
    }
  }

  /** The container's first process has ended; nothing is left to let go of. */
  #onEnded(sandbox: string): void {
    this.#mirror.remove(`sandbox ${sandbox}`);
    this.answering.delete(sandbox);
  }

  /** What an earlier daemon took over is ours to give back, also while nothing has told whether it is wanted. */
  #adoptUnseen(held: readonly HeldSandbox[]): void {
    this.takeovers.adopt([...(this.#waitingHeld ?? []), ...held], () => true);
    this.#waitingHeld = undefined;
  }

  /** Sends the whole table, then the sockets: the server serves when it is told that nothing is missing. */
  #onConnected(held: readonly HeldSandbox[]): void {
    this.#waitingHeld = held;
    if (!this.#mayTakeOver) return;
    this.#waitingHeld = undefined;
    this.takeovers.adopt(held, (sandbox, pid) => this.#pidOf(sandbox) === pid);
    this.#connected = true;
    const known = new Set(held.filter(({ inherited }) => !inherited).map(({ sandbox }) => sandbox));
    const send = this.#client.send.bind(this.#client);
    this.#mirror.connect(send, () => {
      this.takeovers.connect(send, known);
      this.#client.synced({ kind: "synced" });
      for (const decision of this.decisions.values()) this.#act(decision);
    });
  }

  #onLost(): void {
    for (const { descriptors } of this.#waitingHeld ?? []) descriptors.forEach(closeDescriptor);
    this.#waitingHeld = undefined;
    this.#connected = false;
    this.#mirror.disconnect();
    this.takeovers.disconnect();
    this.answering.clear();
  }

  #onMessage(message: ToDaemon): void {
    this.takeovers.onMessage(message);
    if (message.kind === "answering") {
      if (!message.answering) this.answering.delete(message.sandbox);
      else if (this.takeovers.has(message.sandbox)) this.answering.add(message.sandbox);
    } else if (message.kind === "log") this.#logQueries(message.queries, message.dropped);
  }

  #logQueries(queries: readonly QueryLogEntry[], dropped: number): void {
    if (!this.options.queryLog) return; // it was asked to by an earlier daemon
    if (!this.#logTurns.take()) return this.#client.refuse("it logs more often than it may");
    for (const query of queries) this.log.info({ query }, "query");
    if (dropped > 0) this.log.warn({ dropped }, "queries were left out of the log");
  }

  #reconsiderFailures(): void {
    const { failures } = this.takeovers;
    if (failures.size === 0) return;
    const now = performance.now();
    for (const decision of this.decisions.values())
      if (decision.kind === "serve" && (failures.get(decision.sandbox.id)?.againAt ?? Infinity) <= now)
        this.#act(decision);
  }

  #pidOf(sandbox: string): number | undefined {
    for (const decision of this.decisions.values())
      if (decision.kind === "serve" && decision.sandbox.id === sandbox) return decision.pid;
    return undefined;
  }
}
