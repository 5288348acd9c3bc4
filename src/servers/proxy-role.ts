import type { Logger } from "pino";
import type { Report, Settings, ToDaemon } from "../../proxy/protocol.js";
import type { Endpoint, Publication } from "../../proxy/publication.js";
import { spawnWorker, workersWanted } from "../../proxy/spawn-workers.js";
import { PontoonError } from "../errors.js";
import type { Poller } from "../linux/poller.js";
import { hearEverybody } from "../linux/listener.js";
import { closeDescriptor } from "../linux/socket.js";
import { proxyFiles, proxyServer, type HeldPublication, type ProxyLanguage } from "./proxy-server.js";
import { ServerClient, type ServerState } from "./server-client.js";

/** Until pontoon-proxy has said that a publication is open, or closed, ms. */
const answerTime = 10_000;
/** Reasons of shims sent away are logged once in this time each, ms. */
const sameReasonAgain = 60_000;
/** Bulk workers are started no more often than this; ms. */
const workersAtMost = 8;
const workersWithin = 60_000;

export interface ProxyRoleOptions {
  readonly runDir: string;
  readonly version: string;
  readonly settings: Settings;
}

interface Served {
  publication: Publication;
  readonly descriptor: number;
}

/** A publication that pontoon-proxy serves for an earlier daemon. */
export interface Inherited {
  readonly publication: Publication;
  /** Its socket; the receiver's from now on. */
  readonly descriptor: number;
}

export interface ProxyRoleEvents {
  /** Called once, when it is known what an earlier daemon published: what is not taken over in it is closed. */
  onBegin(inherited: readonly Inherited[]): void;
  /** What was open cannot be served any more, and its socket is closed. */
  onFailed(id: string, reason: string): void;
}

/**
 * The port proxy as a process: keeps a pontoon-proxy running, has it serve what is published, and keeps a copy of every
 * socket, so that clients wait in the kernel while it is away.
 */
export class ProxyRole {
  readonly #client: ServerClient<ProxyLanguage>;
  readonly #served = new Map<string, Served>();
  /** Ids the connected server has. */
  readonly #told = new Set<string>();
  readonly #awaited = new Map<string, (failure: PontoonError | undefined) => void>();
  readonly #declined = new Map<string, number>();
  /** When bulk workers were started lately. */
  #workers: number[] = [];
  #connected = false;
  #hasBegun = false;

  constructor(
    poller: Poller,
    private readonly options: ProxyRoleOptions,
    private readonly log: Logger,
    private readonly events: ProxyRoleEvents,
  ) {
    this.#client = new ServerClient(proxyServer, poller, { files: proxyFiles(options.runDir), version: options.version }, log, {
      onConnected: (held) => this.#onConnected(held),
      onLost: () => this.#onLost(),
      onGivenUp: (held) => held.forEach(({ descriptors }) => descriptors.forEach(closeDescriptor)),
      onMessage: (message) => this.#onMessage(message),
    });
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
    const answer = this.#awaits(id);
    this.#tellOpen(publication, descriptor);
    const failure = await answer;
    if (!failure) return;
    this.#forget(id);
    throw failure;
  }

  /** @param target undefined: clients are refused in the kernel until there is one again */
  retarget(id: string, target: Endpoint | undefined): void {
    const served = this.#served.get(id);
    if (!served) return;
    served.publication = { ...served.publication, target };
    letClientsIn(served);
    if (this.#told.has(id)) this.#client.send({ kind: "retarget", id, ...(target && { target }) });
  }

  /** The port is free when this resolves; connections may go on for a while. */
  async close(id: string): Promise<void> {
    if (!this.#forget(id) || !this.#told.delete(id)) return;
    const answer = this.#awaits(id);
    this.#client.send({ kind: "close", id });
    await answer;
  }

  /** Throws SERVER_SILENT. @returns undefined when there is no server to ask */
  async report(): Promise<Report | undefined> {
    if (!this.#client.connected) return undefined;
    return (await this.#client.request((request) => ({ kind: "report", request }), "reported")).report;
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
    for (const [id, served] of this.#served) {
      const { target } = served.publication;
      if (!inherited.has(id)) this.#tellOpen(served.publication, served.descriptor);
      else {
        letClientsIn(served);
        this.#told.add(id);
        this.#client.send({ kind: "keep", id, ...(target && { target }) });
      }
    }
    this.#client.synced({ kind: "synced" });
  }

  #begin(held: readonly HeldPublication[]): void {
    this.#hasBegun = true;
    const whole = held.filter(({ descriptors }) => descriptors.length === 1);
    this.events.onBegin(whole.map(({ publication, descriptors }) => ({ publication, descriptor: descriptors[0]! })));
  }

  #tellOpen(publication: Publication, descriptor: number): void {
    this.#told.add(publication.id);
    this.#client.send({ kind: "open", publication }, [descriptor]);
  }

  #onLost(): void {
    this.#connected = false;
    this.#told.clear();
    const silent = new PontoonError("SERVER_SILENT", proxyServer.name, "pontoon-proxy has just ended; see `pontoon status`");
    for (const id of [...this.#awaited.keys()]) this.#answer(id, silent);
  }

  #onMessage(message: ToDaemon): void {
    switch (message.kind) {
      case "opened":
      case "closed":
        return this.#answer(message.id, undefined);
      case "failed":
        return this.#onFailed(message);
      case "declined":
        return this.#onDeclined(message.reason);
      case "want-worker":
        return this.#addWorker();
      case "reported":
      case "pong":
        return;
    }
  }

  #onFailed({ id, code, message }: Extract<ToDaemon, { kind: "failed" }>): void {
    this.#told.delete(id);
    if (this.#awaited.has(id)) return this.#answer(id, new PontoonError(code, id, message));
    this.log.error({ publication: id, code, reason: message }, "pontoon-proxy cannot serve a published port; it is tried again");
    if (this.#forget(id)) this.events.onFailed(id, message);
  }

  #onDeclined(reason: string): void {
    const now = Date.now();
    if (now - (this.#declined.get(reason) ?? 0) < sameReasonAgain) return;
    this.#declined.set(reason, now);
    this.log.warn({ reason }, "a port that dockerd publishes is left to Docker's own docker-proxy");
  }

  /** Only a process of root's can start one. */
  #addWorker(): void {
    const now = Date.now();
    this.#workers = [...this.#workers.filter((at) => now - at < workersWithin), now];
    if (this.#workers.length > workersAtMost) return this.log.error("bulk workers of pontoon-proxy die: bulk is relayed among everything else");
    const channel = spawnWorker(proxyServer.user, workersWanted(), "ignore");
    this.#client.send({ kind: "worker" }, [channel]);
    closeDescriptor(channel);
  }

  #awaits(id: string): Promise<PontoonError | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#answer(id, new PontoonError("SERVER_SILENT", proxyServer.name, "pontoon-proxy does not answer; see `pontoon status`")), answerTime);
      this.#awaited.set(id, (failure) => {
        clearTimeout(timer);
        resolve(failure);
      });
    });
  }

  #answer(id: string, failure: PontoonError | undefined): void {
    const settle = this.#awaited.get(id);
    this.#awaited.delete(id);
    settle?.(failure);
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
  if (publication.protocol === "udp" && publication.target) hearEverybody(descriptor);
}
