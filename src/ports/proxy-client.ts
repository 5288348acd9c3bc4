import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import type { SocketAddress } from "../../common/address.js";
import { GONE_AT_MOST, type Report, type Settings, type ToDaemon } from "../../proxy/protocol.js";
import type { Publication } from "../../proxy/publication/publication.js";
import { setTimeout as pause } from "node:timers/promises";
import { describeError, errorCode, PontoonError } from "../../common/errors.js";
import type { Poller } from "../../linux/poller.js";
import { acceptClients } from "../../linux/listener.js";
import { closeDescriptor } from "../../linux/socket.js";
import { AwaitedAnswers } from "./awaited-answers.js";
import { proxyFiles, proxyServer, type HeldPublication, type ProxyLanguage } from "./program.js";
import type { Inherited } from "./served-ports.js";
import { WorkerStarter } from "./worker-starter.js";
import { ServerClient, type ServerState } from "../supervisor/supervisor.js";

/** Until pontoon-proxy has said that a publication is open, or closed, ms. */
const answerTime = 10_000;
/** Reasons of shims sent away are logged once in this time each, ms; so many of them are told apart. */
const sameReasonAgain = 60_000;
const reasonsAtMost = 100;
/** Publications told in one piece, and how many messages may wait for a pontoon-proxy that is slow to take them. */
const slice = 100;
const backlogAtMost = 500;
const backlogLookedAtEvery = 5; // ms

export interface ProxyClientOptions {
  readonly runDir: string;
  readonly version: string;
  readonly settings: Settings;
}

interface Served {
  publication: Publication;
  readonly descriptor: number;
}

export interface ProxyClientEvents {
  /** Called once, when it is known what an earlier daemon published: what is not taken over in it is closed. */
  onBegin(inherited: readonly Inherited[]): void;
  /** What was open cannot be served any more, and its socket is closed. */
  onFailed(id: string, reason: string): void;
  /** Connections to the container of a publication fail. @param reason name of an errno */
  onFailedDials?(id: string, reason: string): void;
}

/**
 * The port proxy as a process: keeps a pontoon-proxy running, has it serve what is published, and keeps a copy of every
 * socket, so that clients wait in the kernel while it is away.
 */
export class ProxyClient {
  readonly #client: ServerClient<ProxyLanguage>;
  readonly #served = new Map<string, Served>();
  /** Ids the connected server has. */
  readonly #told = new Set<string>();
  readonly #awaited = new AwaitedAnswers(answerTime);
  #avoided: ReadonlySet<number> = new Set();
  readonly #declined = new LRUCache<string, true>({ max: reasonsAtMost, ttl: sameReasonAgain });
  /** When it was told lately why connections fail. */
  #dialFailures: number[] = [];
  readonly #workers: WorkerStarter;
  #connected = false;
  /** Of the present connection. */
  #session: object | undefined;
  #hasBegun = false;

  constructor(
    poller: Poller,
    private readonly options: ProxyClientOptions,
    private readonly log: Logger,
    private readonly events: ProxyClientEvents,
  ) {
    this.#workers = new WorkerStarter(log);
    this.#client = new ServerClient(
      proxyServer,
      poller,
      { files: proxyFiles(options.runDir), version: options.version },
      log,
      {
        onConnected: (held) => this.#onConnected(held),
        onLost: () => this.#onLost(),
        onGivenUp: (held) => held.forEach(({ descriptors }) => descriptors.forEach(closeDescriptor)),
        onMessage: (message) => this.#onMessage(message),
      },
    );
  }

  get server(): ServerState {
    return this.#client.state;
  }

  start(): void {
    this.#client.start();
  }

  /** Ends pontoon-proxy: its listeners at once, its connections when they have had their time. */
  async stop(): Promise<void> {
    await this.#client.stop();
    this.#closeAll();
  }

  /** As {@link stop}, but does not wait for its connections. */
  retire(): void {
    this.#client.retire();
    this.#closeAll();
  }

  /** Leaves pontoon-proxy serving as it is, for the next daemon. */
  leave(): void {
    this.#client.leave();
    this.#closeAll();
  }

  /**
   * Has a publication served, also by every pontoon-proxy that follows. Clients that come earlier wait in the kernel.
   * @param descriptor the role's from now on, also when this rejects
   * Rejects with PUBLICATION_INVALID and the like when pontoon-proxy refuses it, or SERVER_SILENT; it is forgotten then.
   */
  async open(publication: Publication, descriptor: number): Promise<void> {
    const { id } = publication;
    this.#served.set(id, { publication, descriptor });
    if (!this.#connected) return;
    const answer = this.#awaited.next(id);
    this.#tellOpen(publication, descriptor);
    const failure = await answer;
    if (!failure) return;
    this.#forget(id);
    throw failure;
  }

  /** @param target undefined: clients are refused in the kernel until there is one again */
  retarget(id: string, target: SocketAddress | undefined): void {
    const served = this.#served.get(id);
    if (!served) return;
    served.publication = { ...served.publication, target };
    letClientsIn(served);
    if (this.#told.has(id)) this.#client.send({ kind: "retarget", id, ...(target && { target }) });
  }

  /** Connections to addresses that no container has any more are reset, whatever publication they belong to. */
  gone(addresses: readonly string[]): void {
    for (let at = 0; at < addresses.length; at += GONE_AT_MOST)
      this.#client.sendToAll({ kind: "gone", addresses: addresses.slice(at, at + GONE_AT_MOST) });
  }

  /** UDP ports that flows keep off from now on. */
  set avoided(ports: ReadonlySet<number>) {
    this.#avoided = ports;
    if (this.#connected) void this.vacate([]);
  }

  /** Frees UDP ports that are about to be bound, of those that flows are sent from. Never rejects: without a pontoon-proxy nothing holds them. */
  async vacate(ports: readonly number[]): Promise<void> {
    if (!this.#connected) return;
    const all = [...new Set([...this.#avoided, ...ports])];
    await this.#client.request((request) => ({ kind: "avoid", request, ports: all }), "avoided").catch(() => undefined);
  }

  /** The port is free when this resolves; connections may go on for a while. */
  async close(id: string): Promise<void> {
    if (!this.#forget(id) || !this.#told.delete(id)) return;
    const answer = this.#awaited.next(id);
    this.#client.send({ kind: "close", id });
    await answer;
  }

  /** Throws SERVER_SILENT. @returns undefined when there is no server to ask */
  async report(): Promise<Report | undefined> {
    if (!this.#client.connected) return undefined;
    const parts = await this.#client.request((request) => ({ kind: "report", request }), "reported");
    return { ...parts.at(-1)!.report, publications: parts.flatMap(({ report }) => report.publications) };
  }

  #onConnected(held: readonly HeldPublication[]): void {
    this.#client.send({ kind: "settings", settings: this.options.settings });
    const inherited = new Set<string>();
    if (this.#hasBegun) for (const { descriptors } of held) descriptors.forEach(closeDescriptor);
    else {
      for (const each of held) if (!each.inherited) inherited.add(each.publication.id);
      this.#begin(held);
    }
    this.#connected = true;
    if (this.#avoided.size > 0) void this.vacate([]);
    const session = (this.#session = {});
    void this.#tellAll(inherited, () => this.#session === session);
  }

  /** In slices: tens of thousands must hold up neither side, nor wait here as descriptors. */
  async #tellAll(inherited: ReadonlySet<string>, isCurrent: () => boolean): Promise<void> {
    let count = 0;
    for (const [id, served] of this.#served) {
      if (this.#told.has(id)) continue;
      if (inherited.has(id)) this.#tellKeep(served);
      else this.#tellOpen(served.publication, served.descriptor);
      if (++count % slice === 0) await this.#untilTaken();
      if (!isCurrent()) return;
    }
    this.#client.synced({ kind: "synced" });
  }

  async #untilTaken(): Promise<void> {
    do await pause(this.#client.backlog > backlogAtMost ? backlogLookedAtEvery : 0);
    while (this.#client.backlog > backlogAtMost);
  }

  #tellKeep(served: Served): void {
    const { id, target } = served.publication;
    letClientsIn(served);
    this.#told.add(id);
    this.#client.send({ kind: "keep", id, ...(target && { target }) });
  }

  #begin(held: readonly HeldPublication[]): void {
    this.#hasBegun = true;
    const whole = held.filter(({ descriptors }) => descriptors.length === 1);
    this.events.onBegin(whole.map(({ publication, descriptors }) => ({ publication, descriptor: descriptors[0]! })));
  }

  #tellOpen(publication: Publication, descriptor: number): void {
    const { id } = publication;
    try {
      this.#told.add(id);
      this.#client.send({ kind: "open", publication }, [descriptor]);
    } catch (error) {
      // It is too large for a message, or no descriptor is left to keep a copy until pontoon-proxy takes it.
      this.#onFailed({
        kind: "failed",
        id,
        code: errorCode(error) ?? "PUBLICATION_INVALID",
        message: describeError(error),
      });
    }
  }

  #onLost(): void {
    this.#connected = false;
    this.#session = undefined;
    this.#told.clear();
    this.#awaited.settleAll();
  }

  #onMessage(message: ToDaemon): void {
    switch (message.kind) {
      case "opened":
      case "closed":
        return this.#awaited.settle(message.id, undefined);
      case "failed":
        return this.#onFailed(message);
      case "declined":
        return this.#onDeclined(message.reason);
      case "notice":
        this.log.warn({ reason: message.reason }, "pontoon-proxy is short of something");
        return;
      case "failed-dials":
        return this.#onFailedDials(message.id, message.reason);
      case "want-worker":
        return this.#addWorker();
      case "avoided":
      case "reported":
      case "pong":
        return;
    }
  }

  #onFailed({ id, code, message }: Extract<ToDaemon, { kind: "failed" }>): void {
    this.#told.delete(id);
    if (this.#awaited.has(id)) return this.#awaited.settle(id, new PontoonError(code, id, message));
    if (!this.#forget(id)) return;
    this.log.error(
      { publication: id, code, reason: message },
      "pontoon-proxy cannot serve a published port; it is tried again",
    );
    this.events.onFailed(id, message);
  }

  #onDeclined(reason: string): void {
    this.#declined.purgeStale();
    if (this.#declined.has(reason) || this.#declined.size >= reasonsAtMost) return; // no reason makes room for another
    this.#declined.set(reason, true);
    this.log.warn({ reason }, "a port that dockerd publishes is left to Docker's own docker-proxy");
  }

  #onFailedDials(id: string, reason: string): void {
    const now = Date.now();
    this.#dialFailures = this.#dialFailures.filter((at) => now - at < sameReasonAgain);
    if (this.#dialFailures.length >= reasonsAtMost) return; // `pontoon port --long` tells of every port
    this.#dialFailures.push(now);
    this.events.onFailedDials?.(id, reason);
  }

  #addWorker(): void {
    const channel = this.#workers.start();
    if (channel === undefined) return;
    try {
      this.#client.send({ kind: "worker" }, [channel]);
    } finally {
      closeDescriptor(channel);
    }
  }

  #forget(id: string): boolean {
    const served = this.#served.get(id);
    if (!served) return false;
    this.#served.delete(id);
    closeDescriptor(served.descriptor);
    return true;
  }

  #closeAll(): void {
    for (const id of [...this.#served.keys()]) this.#forget(id);
  }
}

/** pontoon-proxy has a UDP socket refuse by itself, but may not undo that. */
function letClientsIn({ publication, descriptor }: Served): void {
  if (publication.protocol === "udp" && publication.target) acceptClients(descriptor);
}
