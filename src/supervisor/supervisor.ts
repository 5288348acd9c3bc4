import type { ChildProcess } from "node:child_process";
import type { Logger } from "pino";
import { describeError, PontoonError } from "../../common/errors.js";
import type { Hello } from "../../common/handshake.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor } from "../../linux/socket.js";
import { ServerLink, type Held, type Language, type ServerKind } from "./session.js";
import {
  connectToServer,
  lastWords,
  moveIntoPlace,
  pidOfServer,
  removeUnplaced,
  startServer,
  unplaced,
  type ServerFiles,
} from "./process.js";

const respawnAfter = [0, 100, 500, 2000]; // ms after the 1st, 2nd, … death in a row
const deathsAtMost = 5;
const deathsWithin = 30_000; // ms
/** A process that has just died takes connections until the kernel has closed its listener: that is no other death. ms. */
const endsWithin = 200;
const endingLookedAtEvery = 5;
const retryAfterGivingUp = 60_000; // ms
const requestTime = 6000; // ms
/** Of one answer. */
const partsAtMost = 2000;

export type ServerState =
  | { readonly kind: "stopped" }
  | { readonly kind: "starting" }
  | { readonly kind: "running"; readonly pid: number; readonly version: string; readonly adopted: boolean }
  /** It died too often; another is started after a while. */
  | { readonly kind: "given-up"; readonly reason: string };

export interface ServerClientEvents<L extends Language> {
  /** A server is connected and waits to be told what to do. The descriptors of `held` belong to the handler. */
  onConnected(held: readonly Held<L>[]): void;
  /** The server is gone. */
  onLost(): void;
  /** Servers died too often, and there will be none for a while; `onLost` follows. The descriptors of `held` belong to the handler. */
  onGivenUp(held: readonly Held<L>[]): void;
  onMessage(message: L["toDaemon"]): void;
}

export interface ServerClientOptions {
  readonly files: ServerFiles;
  /** Of this daemon, and so of its own servers. */
  readonly version: string;
}

type Answer<L extends Language, Kind extends L["toDaemon"]["kind"]> = Extract<L["toDaemon"], { kind: Kind }>;

/**
 * Keeps one server of this version running and speaks with it: takes over one that runs already, starts one else.
 * One of another version goes on serving until ours has everything it holds, and then finishes what is under way.
 */
export class ServerClient<L extends Language> {
  state: ServerState = { kind: "stopped" };
  #link: ServerLink<L> | undefined;
  /** A server of another version. It serves, and is found by whoever looks for a server, until {@link synced}. */
  #predecessor: ServerLink<L> | undefined;
  /** Whether our server is found where servers are looked for. */
  #inPlace = true;
  /** Predecessors that finish what is under way. */
  readonly #draining = new Set<ServerLink<L>>();
  #deaths: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** The server started last; it may not have said hello yet. */
  #child: ChildProcess | undefined;
  #lastRequest = 0;
  readonly #requests = new Map<number, (answer: L["toDaemon"] | undefined) => void>();

  constructor(
    private readonly kind: ServerKind<L>,
    private readonly poller: Poller,
    private readonly options: ServerClientOptions,
    private readonly log: Logger,
    private readonly events: ServerClientEvents<L>,
  ) {}

  start(): void {
    if (this.state.kind !== "stopped") return;
    this.#connect();
  }

  get connected(): boolean {
    return this.state.kind === "running";
  }

  send(message: L["toServer"], descriptors: readonly number[] = []): void {
    this.#link?.send(message, descriptors);
  }

  /** Also to servers of another version that finish what is under way. Those of the same protocol pass over what they do not know. */
  sendToAll(message: L["toServer"]): void {
    for (const link of [this.#link, this.#predecessor, ...this.#draining])
      if (link?.hello?.protocol === this.kind.protocol) link.send(message);
  }

  /** For what is worth nothing later. */
  sendOrDrop(message: L["toServer"]): void {
    this.#link?.sendOrDrop(message);
  }

  /** The server has been told and given everything: from here on a predecessor only finishes what is under way. */
  synced(message: L["toServer"]): void {
    if (!this.#inPlace) moveIntoPlace(this.options.files);
    this.#inPlace = true;
    this.#drainPredecessor();
    this.send(message);
  }

  /** Messages the server has not taken yet. */
  get backlog(): number {
    return this.#link?.backlog ?? 0;
  }

  /** The server has done what no server of ours does: it is killed, and replaced. */
  refuse(what: string): void {
    this.#link?.breaks(what);
  }

  /**
   * Asks the server something. Throws SERVER_SILENT.
   * @param message makes the question with the number that its answer will bear, in a field `request`
   * @param kind of the answer
   * @returns the parts of the answer, in order: all but the last say that there is `more`
   */
  request<Kind extends L["toDaemon"]["kind"]>(
    message: (request: number) => L["toServer"],
    kind: Kind,
  ): Promise<readonly [Answer<L, Kind>, ...Answer<L, Kind>[]]> {
    const request = ++this.#lastRequest;
    const { name } = this.kind;
    return new Promise((resolve, reject) => {
      const silent = (what: string) =>
        reject(new PontoonError("SERVER_SILENT", name, `${name} ${what}; see \`pontoon status\``));
      if (!this.connected) return silent("is not running");
      const timer = setTimeout(() => {
        this.#requests.delete(request);
        silent("does not answer");
      }, requestTime);
      const parts: Answer<L, Kind>[] = [];
      this.#requests.set(request, (answer) => {
        if (answer?.kind === kind && parts.push(answer as Answer<L, Kind>) < partsAtMost && saysMore(answer)) return;
        clearTimeout(timer);
        this.#requests.delete(request);
        const [first, ...others] = parts;
        if (first && answer) resolve([first, ...others]);
        else silent("has just ended");
      });
      this.send(message(request));
    });
  }

  /** Ends every server and waits until they are gone. */
  async stop(): Promise<void> {
    if (!this.#link?.hello) this.#child?.kill("SIGKILL"); // it holds nothing yet
    await Promise.all(this.#forgetAll().map((link) => link.end()));
  }

  /** Has every server end as soon as what is under way is finished, and waits for none. */
  retire(): void {
    for (const link of this.#forgetAll()) link.retire();
  }

  /** Leaves the servers as they are, for the next daemon. */
  leave(): void {
    for (const link of this.#forgetAll()) link.close();
  }

  #forgetAll(): ServerLink<L>[] {
    clearTimeout(this.#timer);
    this.state = { kind: "stopped" };
    const links = [this.#link, this.#predecessor, ...this.#draining].filter((link) => link !== undefined);
    this.#link = this.#predecessor = undefined;
    this.#draining.clear();
    return links;
  }

  #connect(): void {
    this.state = { kind: "starting" };
    if (this.#predecessor) return this.#predecessor.askWhatItHolds(); // ours died before it had everything
    try {
      const existing = connectToServer(this.options.files.socketPath);
      if (existing === undefined) this.#startOwn([]);
      else this.#attach(existing, true, []);
    } catch (error) {
      this.#died(describeError(error));
    }
  }

  #startOwn(inherited: readonly Held<L>[]): void {
    const { version } = this.options;
    this.#inPlace = this.#predecessor === undefined;
    const files = this.#inPlace ? this.options.files : unplaced(this.options.files);
    const child = startServer(this.kind, files, version);
    this.#child = child;
    child.on("exit", () => {
      if (this.#child === child) this.#child = undefined;
    });
    child.on("error", (error) => this.log.error({ reason: error.message }, `${this.kind.name} could not be started`));
    const fd = connectToServer(files.socketPath);
    if (fd === undefined)
      throw new PontoonError("SERVER_START", files.socketPath, `${this.kind.name} ended before it was ready`);
    this.#attach(fd, false, inherited);
  }

  #attach(fd: number, adopted: boolean, inherited: readonly Held<L>[]): void {
    const { files, version } = this.options;
    const link: ServerLink<L> = new ServerLink<L>(
      this.kind,
      this.poller,
      fd,
      adopted,
      version,
      () => pidOfServer(this.kind, files.pidPath),
      {
        onHello: (hello) => link === this.#link && this.#onHello(link, hello),
        onHeldAll: () =>
          link === this.#link ? this.events.onConnected(link.takeHeld()) : this.#onPredecessorsAll(link),
        onMessage: (message) => link === this.#link && this.#onMessage(message),
        onEnd: (reason) => this.#onEnd(link, reason),
      },
    );
    link.inherit(inherited);
    this.#link = link;
    link.askWhatItHolds();
  }

  #onMessage(message: L["toDaemon"]): void {
    const request = "request" in message ? (message.request as number) : undefined;
    if (request === undefined || request === 0) this.events.onMessage(message);
    else this.#answer(request, message);
  }

  #onHello(link: ServerLink<L>, { pid, version }: Hello): void {
    if (!link.isOurs && !link.adopted) {
      link.kill();
      return this.#died("the program has been replaced by one of another version; restart the daemon");
    }
    if (!link.isOurs) {
      this.log.info({ version, pid }, `a ${this.kind.name} of another version runs; ours takes over from it`);
      this.#predecessor = link;
      this.#link = undefined;
      return;
    }
    const { adopted } = link;
    this.state = { kind: "running", pid, version, adopted };
    this.log.info({ pid, adopted }, adopted ? `adopted the running ${this.kind.name}` : `${this.kind.name} is running`);
  }

  /** What it holds goes to a server of ours. Whatever else it says is not for us. */
  #onPredecessorsAll(link: ServerLink<L>): void {
    if (link !== this.#predecessor) return;
    const held = link.takeHeld();
    try {
      this.#startOwn(held);
    } catch (error) {
      this.#died(describeError(error), held);
    }
  }

  #drainPredecessor(): void {
    const link = this.#predecessor;
    if (!link) return;
    this.#predecessor = undefined;
    this.#draining.add(link);
    link.drain();
    this.log.info({ pid: link.hello?.pid }, `${this.kind.name} has taken over from the one of another version`);
  }

  #onEnd(link: ServerLink<L>, reason: string): void {
    if (link === this.#link) return this.#died(reason);
    link.close();
    this.#draining.delete(link);
    if (link !== this.#predecessor) return;
    this.#predecessor = undefined;
    if (!this.#link && this.state.kind === "starting") this.#died(reason);
  }

  /** @param held what a predecessor holds and ours did not take any more */
  #died(reason: string, held = this.#link?.takeHeld() ?? []): void {
    const link = this.#link;
    link?.close();
    this.#link = undefined;
    if (!this.#inPlace) removeUnplaced(this.options.files);
    this.#inPlace = true;
    for (const request of [...this.#requests.keys()]) this.#answer(request, undefined);
    clearTimeout(this.#timer);
    const now = Date.now();
    if (link?.adopted === true && !link.hello && now - (this.#deaths.at(-1) ?? 0) < endsWithin) {
      this.#timer = setTimeout(() => this.#connect(), endingLookedAtEvery);
      return;
    }
    this.#deaths = [...this.#deaths.filter((at) => now - at < deathsWithin), now];
    const words = lastWords(this.options.files.logPath);
    const count = this.#deaths.length;
    this.log.warn(
      { reason, ...(words === "" ? {} : { words }), deaths: count },
      `${this.kind.name} is gone; starting it again`,
    );
    if (count >= deathsAtMost)
      return this.#giveUp(
        held,
        `${this.kind.name} ended ${count} times within ${deathsWithin / 1000} s (${words === "" ? reason : words})`,
      );
    for (const { descriptors } of held) descriptors.forEach(closeDescriptor); // a predecessor is asked for them again
    this.state = { kind: "starting" };
    this.events.onLost();
    const delay = respawnAfter[Math.min(count - 1, respawnAfter.length - 1)]!;
    if (delay === 0) this.#connect();
    else this.#timer = setTimeout(() => this.#connect(), delay);
  }

  #giveUp(held: readonly Held<L>[], reason: string): void {
    this.state = { kind: "given-up", reason };
    this.log.error(
      { reason },
      this.#predecessor && this.kind.hasNoSubstitute
        ? `the ${this.kind.name} of another version goes on alone`
        : this.kind.withoutIt,
    );
    this.events.onGivenUp(held);
    this.events.onLost();
    if (!this.kind.hasNoSubstitute) {
      void this.#predecessor?.end();
      this.#predecessor = undefined;
    }
    this.#deaths = [];
    this.#timer = setTimeout(() => this.#connect(), retryAfterGivingUp);
  }

  #answer(request: number, answer: L["toDaemon"] | undefined): void {
    this.#requests.get(request)?.(answer);
  }
}

function saysMore(answer: object): boolean {
  return "more" in answer && answer.more === true;
}
