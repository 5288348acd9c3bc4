import type { Logger } from "pino";
import type { Explanation, Gap, Report, ToDaemon } from "../../dns/protocol.js";
import { describeError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import { sandboxSources, type NamespacePlace, type SandboxSource } from "../inventory/types.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor } from "../../linux/socket.js";
import { dnsFiles, dnsServer, type DnsLanguage, type HeldSandbox } from "./program.js";
import { Decisions, type ForwardingSettingsOf } from "./decisions.js";
import type { Decision, ServeDecision } from "./records.js";
import type { DnsState } from "./dns-state.js";
import { GapKeeper } from "./gap.js";
import { QueryLog } from "./query-log.js";
import { ReviewQueue } from "./review-queue.js";
import { ServerClient, type ServerState } from "../supervisor/supervisor.js";
import { pidOfServer } from "../supervisor/process.js";
import { TableMirror } from "./table-mirror.js";
import { TableRecords } from "./table-records.js";
import { isSamePlace } from "./takeovers/place.js";
import type { Takeover } from "./takeovers/takeover.js";
import { Takeovers } from "./takeovers/takeovers.js";
import { Unanswered } from "./unanswered.js";
import { takenOver } from "./unsteered.js";

const retryFailuresEvery = 1000; // ms
/** Rules of iptables' legacy variant change unheard, ms. */
const silentChangesEvery = 3000;
/**
 * How long the start of a container waits until it is answered, ms; a takeover takes 5 to 20. Where nobody else answers meanwhile
 * a late start is better than one whose first questions fail.
 */
const answeringAtMost = { docker: 300, pontoon: 3000 } as const;
const lookEvery = 1; // ms
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
 * The resolver role: from the inventory to what pontoon-dns knows and to which namespaces are taken over.
 * Decides nothing about names itself; that is the server's. Nothing of a source is taken over before the source is complete,
 * and no server is told anything of it before that: what it holds from an earlier daemon is known to be wanted, or not, only
 * then.
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
  /** Sources that are complete, and have been looked at. */
  readonly #complete = new Set<SandboxSource>();
  /** Of these, those of which the server that is connected has been told all. */
  readonly #told = new Set<SandboxSource>();
  #isConnected = false;
  readonly #unanswered = new Unanswered();
  /** Nothing is taken over any more. */
  #isEnding = false;
  /** What the server that is connected holds of sources that are not complete. */
  #unseen: readonly HeldSandbox[] = [];
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
      (sandbox, takeover) => this.#onEnded(sandbox, takeover),
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
    this.#isEnding = true;
    clearInterval(this.#retry);
    clearInterval(this.#silentChanges);
  }

  /** A source is complete: from now on its namespaces are taken over, and what a server held before is known or not. */
  async mayTakeOver(source: SandboxSource): Promise<void> {
    if (this.#complete.has(source) || this.#isEnding) return;
    await this.#reviewQueue.settled();
    if (this.#complete.has(source) || this.#hasEnded()) return; // meanwhile
    this.#complete.add(source);
    this.#actOnAll(source);
    if (this.#isConnected) this.#tell(source);
  }

  /** Asked anew after waiting. */
  #hasEnded(): boolean {
    return this.#isEnding;
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

  /** Whether every source is complete, and every container that should be answered is, or cannot be for a reason that `failures` tells. */
  get isReady(): boolean {
    const reached = this.options.takeOver ? this.#told : this.#complete;
    return sandboxSources.every((source) => reached.has(source) && this.isSettled(source));
  }

  /** Whether a source is complete, and every sandbox of it that should be answered is, or cannot be. */
  isSettled(source: SandboxSource): boolean {
    const mine = [...this.#decisions.toServe()].filter(({ sandbox }) => sandbox.source === source);
    return (
      this.#complete.has(source) && (!this.options.takeOver || mine.every(({ sandbox }) => this.#isSettled(sandbox.id)))
    );
  }

  #isSettled(sandbox: string): boolean {
    return this.answering.has(sandbox) || this.takeovers.failures.has(sandbox);
  }

  /** Resolves when a sandbox of a source is answered, or is not going to be soon: one that starts waits for it. */
  async whenAnswering(source: SandboxSource, sandbox: string | undefined): Promise<void> {
    if (sandbox === undefined || !this.#told.has(source)) return;
    await this.#reviewQueue.settled();
    const isGoingToBe = () => [...this.#decisions.toServe(sandbox)].length > 0 && !this.takeovers.failures.has(sandbox);
    // Where nobody else answers, questions are led to our sockets from the takeover on, and wait there for the server.
    const isAnswered = () => this.answering.has(sandbox) || (source === "pontoon" && this.takeovers.has(sandbox));
    for (let waited = 0; waited < answeringAtMost[source] && isGoingToBe() && !isAnswered(); waited += lookEvery)
      await new Promise((resolve) => setTimeout(resolve, lookEvery));
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

  #actOnAll(source: SandboxSource): void {
    for (const decision of this.#decisions.toServe()) if (decision.sandbox.source === source) this.#act(decision);
  }

  #act(decision: Decision): void {
    if (decision.kind !== "serve" || !this.options.takeOver || this.#isEnding) return;
    const { sandbox, place, hasDockerResolver } = decision;
    if (!this.#complete.has(sandbox.source)) return;
    this.#mirror.put(`sandbox ${sandbox.id}`, { kind: "sandbox", sandbox });
    // Not before a server is there, has said what it holds from an earlier daemon, and knows the sandbox.
    const container = sandbox.source === "docker" ? sandbox.container : undefined;
    if (this.#told.has(sandbox.source)) this.takeovers.want(sandbox.id, { place, container, hasDockerResolver });
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

  /** The container's first process has ended, or the namespace's name is gone; nothing is left to let go of. */
  #onEnded(sandbox: string, { place }: Takeover): void {
    this.#mirror.remove(`sandbox ${sandbox}`);
    this.answering.delete(sandbox);
    // The server sees a process end as surely as we do, but of names it may have had no news.
    if (place.kind === "named" && this.#isConnected) this.#client.send({ kind: "close", sandbox });
  }

  #onConnected(held: readonly HeldSandbox[]): void {
    this.#isConnected = true;
    this.#unseen = held;
    this.#mirror.connect(this.#client.send.bind(this.#client));
    for (const source of this.#complete) this.#tell(source);
    if (this.#isEnding) this.#adoptUnseen([]);
  }

  /** Sends all of a source, then the sockets: the server serves when it is told that nothing is missing. */
  #tell(source: SandboxSource): void {
    const held = this.#takeUnseen(source);
    this.takeovers.adopt(held, (sandbox, place) => this.#wantedIn(sandbox, place));
    const known = new Set(held.filter(({ inherited }) => !inherited).map(({ sandbox }) => sandbox));
    const send = this.#client.send.bind(this.#client);
    this.#mirror.tell(source, () => {
      const told = this.#sourcesOfSandboxes();
      this.takeovers.connect(send, known, (sandbox) => (told.get(sandbox) ?? "docker") === source);
      this.#told.add(source);
      this.#client.synced({ kind: "synced", source });
      this.#actOnAll(source);
    });
  }

  #sourcesOfSandboxes(): Map<string, SandboxSource> {
    return new Map([...this.#decisions.toServe()].map(({ sandbox }) => [sandbox.id, sandbox.source]));
  }

  #onLost(): void {
    for (const { descriptors } of this.#takeUnseen()) descriptors.forEach(closeDescriptor);
    this.#isConnected = false;
    this.#told.clear();
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
    this.takeovers.adopt([...this.#takeUnseen(), ...held], () => ({ hasDockerResolver: true }));
  }

  /** What the server that is connected holds, of one source or of all, and has not been told yet whether it is wanted. */
  #takeUnseen(source?: SandboxSource): readonly HeldSandbox[] {
    const isMeant = (held: HeldSandbox) => source === undefined || (held.source ?? "docker") === source;
    const taken = this.#unseen.filter(isMeant);
    this.#unseen = this.#unseen.filter((held) => !isMeant(held));
    return taken;
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
    const now = performance.now();
    const unanswered = new Map<string, ServeDecision>();
    for (const decision of this.#decisions.toServe()) {
      const { id, source } = decision.sandbox;
      if ((failures.get(id)?.againAt ?? Infinity) <= now) this.#act(decision);
      if (this.#told.has(source) && !this.#isSettled(id)) unanswered.set(id, decision);
    }
    for (const id of this.#unanswered.overdue(new Set(unanswered.keys()), now)) {
      this.log.warn({ sandbox: id.slice(0, 12) }, "nobody has answered in a sandbox: it is taken over once more");
      if (this.takeovers.has(id)) this.takeovers.giveAgain(id);
      else this.#act(unanswered.get(id)!);
    }
  }

  /** @returns undefined when a sandbox is not to be served, or is another namespace by now */
  #wantedIn(sandbox: string, place: NamespacePlace): ServeDecision | undefined {
    const [decision] = this.#decisions.toServe(sandbox);
    return decision && isSamePlace(decision.place, place) ? decision : undefined;
  }
}
