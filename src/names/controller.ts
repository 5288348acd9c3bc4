import type { Logger } from "pino";
import type { Explanation, Gap, Report, ToDaemon } from "../../dns/protocol.js";
import { describeError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor } from "../../linux/socket.js";
import { dnsFiles, dnsServer, type DnsLanguage, type HeldSandbox } from "./program.js";
import { Decisions, type ForwardingSettingsOf } from "./decisions.js";
import type { Decision } from "./records.js";
import type { DnsState } from "./dns-state.js";
import { GapKeeper } from "./gap.js";
import { QueryLog } from "./query-log.js";
import { ReviewQueue } from "./review-queue.js";
import { ServerClient, type ServerState } from "../supervisor/supervisor.js";
import { pidOfServer } from "../supervisor/process.js";
import { TableMirror } from "./table-mirror.js";
import { TableRecords } from "./table-records.js";
import { Takeovers } from "./takeovers/takeovers.js";
import { takenOver } from "./unsteered.js";

const retryFailuresEvery = 1000; // ms
/** Rules of iptables' legacy variant change unheard, ms. */
const silentChangesEvery = 3000;
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

/**
 * How far the controller has come. Nothing is taken over before the inventory is complete, and no server is told anything
 * before that: what it holds from an earlier daemon is known to be wanted, or not, only then.
 */
type State =
  /** The inventory is not complete. `held`: what the server that is connected holds; undefined while none is. */
  | { readonly kind: "listing"; readonly held?: readonly HeldSandbox[] | undefined }
  /** It is complete, and no server is connected. */
  | { readonly kind: "apart" }
  /** A server has been told everything, or is just being told. */
  | { readonly kind: "connected" }
  /** Nothing is taken over any more. */
  | { readonly kind: "ending"; readonly isComplete: boolean };

/**
 * The resolver role: from the inventory to what pontoon-dns knows and to which namespaces are taken over.
 * Decides nothing about names itself; that is the server's.
 */
export class DnsController {
  readonly answering = new Set<string>();
  readonly #decisions: Decisions;
  readonly #mirror = new TableMirror();
  readonly #client: ServerClient<DnsLanguage>;
  readonly takeovers: Takeovers;
  readonly #reviewQueue = new ReviewQueue({
    reviewNetwork: (id) => this.#reviewNetwork(id),
    reviewContainer: (id) => this.#reviewContainer(id),
    onReviewed: () => this.#gap.close(),
  });
  readonly #gap = new GapKeeper((gap) => this.#mirror.put("gap", { kind: "gap", gap }));
  readonly #records: TableRecords;
  readonly #queryLog: QueryLog;
  #state: State = { kind: "listing" };
  #retry: NodeJS.Timeout | undefined;
  #silentChanges: NodeJS.Timeout | undefined;

  constructor(
    poller: Poller,
    private readonly inventory: Inventory,
    forwardingSettingsOf: ForwardingSettingsOf,
    private options: DnsControllerOptions,
    private readonly log: Logger,
  ) {
    this.#decisions = new Decisions(inventory, forwardingSettingsOf, () => this.options, log, {
      onLeft: (sandbox) => this.#letGo(sandbox),
      onDecided: (decision) => this.#act(decision),
    });
    this.#records = new TableRecords(inventory, this.#mirror);
    this.#queryLog = new QueryLog(log);
    this.#client = new ServerClient(
      dnsServer,
      poller,
      { files: dnsFiles(options.runDir), version: options.version },
      log,
      {
        onConnected: (held) => this.#onConnected(held),
        onLost: () => this.#onLost(),
        onGivenUp: (held) => this.#onGivenUp(held),
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

  /** By container. */
  get decisions(): ReadonlyMap<string, Decision> {
    return this.#decisions.all;
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
    this.#adoptUnseen([]);
    this.#end();
    await Promise.all(this.takeovers.sandboxes.map((sandbox) => this.takeovers.letGo(sandbox)));
    await this.#client.stop();
    await this.takeovers.abandonAll();
    return this.unsteered === undefined;
  }

  /** Leaves everything as it is, served on by the server, for the next daemon. */
  leave(): void {
    this.#end();
    this.#client.leave();
  }

  #end(): void {
    this.#state = { kind: "ending", isComplete: this.#isComplete };
    clearInterval(this.#retry);
    clearInterval(this.#silentChanges);
  }

  /** Whether it has been heard what there is on this host. */
  get #isComplete(): boolean {
    return this.#state.kind === "ending" ? this.#state.isComplete : this.#state.kind !== "listing";
  }

  /** The inventory is complete: from now on namespaces are taken over, and what a server held before is known or not. */
  async mayTakeOver(): Promise<void> {
    if (this.#state.kind !== "listing") return;
    await this.#reviewQueue.settled();
    if (this.#state.kind !== "listing") return; // meanwhile
    const { held } = this.#state;
    this.#state = { kind: "apart" };
    this.#actOnAll();
    if (held) this.#connect(held);
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
    if (!this.options.takeOver) return this.#isComplete;
    return (
      this.#state.kind === "connected" &&
      [...this.#decisions.toServe()].every(({ sandbox }) => this.#isSettled(sandbox.id))
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
    this.#records.reviewNetwork(id);
    this.#reviewQueue.request({ containers: this.inventory.containersOn(id) });
  }

  #reviewContainer(id: string): Promise<void> | undefined {
    const container = this.inventory.containers.get(id);
    const { defaultTtl } = this.options;
    for (const network of this.#records.reviewContainer(id, container, defaultTtl)) this.#reviewNetwork(network);
    if (container) return this.#decisions.review(container);
    this.#decisions.forget(id);
    return undefined;
  }

  #actOnAll(): void {
    for (const decision of this.#decisions.toServe()) this.#act(decision);
  }

  #act(decision: Decision): void {
    const { kind } = this.#state;
    if (decision.kind !== "serve" || !this.options.takeOver || kind === "listing" || kind === "ending") return;
    const { sandbox, pid } = decision;
    this.#mirror.put(`sandbox ${sandbox.id}`, { kind: "sandbox", sandbox });
    // Not before a server is there, and has said what it holds from an earlier daemon.
    if (kind === "connected") this.takeovers.want(sandbox.id, { pid, container: sandbox.container });
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
    for (const decision of this.#decisions.toServe(sandbox)) {
      if (this.takeovers.has(sandbox)) continue;
      this.#mirror.remove(`sandbox ${sandbox}`);
      this.#act(decision);
    }
  }

  /** The container's first process has ended; nothing is left to let go of. */
  #onEnded(sandbox: string): void {
    this.#mirror.remove(`sandbox ${sandbox}`);
    this.answering.delete(sandbox);
  }

  #onConnected(held: readonly HeldSandbox[]): void {
    if (this.#isComplete) this.#connect(held);
    else if (this.#state.kind === "ending") this.#adoptUnseen(held);
    else this.#state = { kind: "listing", held };
  }

  /** Sends the whole table, then the sockets: the server serves when it is told that nothing is missing. */
  #connect(held: readonly HeldSandbox[]): void {
    this.takeovers.adopt(held, (sandbox, pid) => this.#firstProcessOf(sandbox) === pid);
    if (this.#state.kind !== "ending") this.#state = { kind: "connected" };
    const known = new Set(held.filter(({ inherited }) => !inherited).map(({ sandbox }) => sandbox));
    const send = this.#client.send.bind(this.#client);
    this.#mirror.connect(send, () => {
      this.takeovers.connect(send, known);
      this.#client.synced({ kind: "synced" });
      this.#actOnAll();
    });
  }

  #onLost(): void {
    for (const { descriptors } of this.#takeUnseen()) descriptors.forEach(closeDescriptor);
    if (this.#state.kind === "connected") this.#state = { kind: "apart" };
    this.#mirror.disconnect();
    this.takeovers.disconnect();
    this.answering.clear();
  }

  #onGivenUp(held: readonly HeldSandbox[]): void {
    this.#adoptUnseen(held);
    void this.takeovers.abandonAll();
  }

  /** What an earlier daemon took over is ours to give back, also while nothing has told whether it is wanted. */
  #adoptUnseen(held: readonly HeldSandbox[]): void {
    this.takeovers.adopt([...this.#takeUnseen(), ...held], () => true);
  }

  /** What the server that is connected holds, and has not been told yet whether it is wanted. */
  #takeUnseen(): readonly HeldSandbox[] {
    if (this.#state.kind !== "listing") return [];
    const { held = [] } = this.#state;
    this.#state = { kind: "listing" };
    return held;
  }

  #onMessage(message: ToDaemon): void {
    this.takeovers.onMessage(message);
    if (message.kind === "answering") {
      if (!message.answering) this.answering.delete(message.sandbox);
      else if (this.takeovers.has(message.sandbox)) this.answering.add(message.sandbox);
    } else if (message.kind === "log" && this.options.queryLog) {
      // Without that it was asked to by an earlier daemon.
      if (!this.#queryLog.write(message.queries, message.dropped))
        this.#client.refuse("it logs more often than it may");
    }
  }

  #reconsiderFailures(): void {
    const { failures } = this.takeovers;
    if (failures.size === 0) return;
    const now = performance.now();
    for (const decision of this.#decisions.toServe())
      if ((failures.get(decision.sandbox.id)?.againAt ?? Infinity) <= now) this.#act(decision);
  }

  #firstProcessOf(sandbox: string): number | undefined {
    const [decision] = this.#decisions.toServe(sandbox);
    return decision?.pid;
  }
}
