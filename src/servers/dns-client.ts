import type { Explanation, Report, ToDaemon, ToServer } from "../../dns/protocol.js";
import type { ChildProcess } from "node:child_process";
import type { Logger } from "pino";
import { describeError, PontoonError } from "../errors.js";
import type { Poller } from "../linux/poller.js";
import { closeDescriptor } from "../linux/socket.js";
import { connectToServer, lastWords, pidOfServer, startServer } from "./dns-process.js";
import { ServerLink, type HeldSandbox } from "./server-link.js";

const respawnAfter = [0, 100, 500, 2000]; // ms after the 1st, 2nd, … death in a row
const deathsAtMost = 5;
const deathsWithin = 30_000; // ms
/** A process that has just died takes connections until the kernel has closed its listener: that is no other death. ms. */
const endsWithin = 200;
const endingLookedAtEvery = 5;
const retryAfterGivingUp = 60_000; // ms
const requestTime = 6000; // ms

export type DnsServerState =
  | { readonly kind: "stopped" }
  | { readonly kind: "starting" }
  | { readonly kind: "running"; readonly pid: number; readonly version: string; readonly adopted: boolean }
  /** It died too often: every namespace has gone back to Docker. */
  | { readonly kind: "given-up"; readonly reason: string };

export interface DnsClientEvents {
  /** A server is connected and waits for the table. The descriptors of `held` belong to the handler. */
  onConnected(held: readonly HeldSandbox[]): void;
  /** The server is gone. */
  onLost(): void;
  /** Servers died too often, and there will be none for a while; `onLost` follows. The descriptors of `held` belong to the handler. */
  onGivenUp(held: readonly HeldSandbox[]): void;
  onMessage(message: ToDaemon): void;
}

/**
 * Keeps one pontoon-dns of this version running and speaks with it: takes over one that runs already, starts one else.
 * One of another version goes on serving until ours has everything it holds, and then finishes what it was asked.
 */
export class DnsClient {
  state: DnsServerState = { kind: "stopped" };
  #link: ServerLink | undefined;
  /** A server of another version. It serves until `synced` is sent to ours. */
  #predecessor: ServerLink | undefined;
  /** Predecessors that finish what they were asked. */
  readonly #draining = new Set<ServerLink>();
  #deaths: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** The server started last; it may not have said hello yet. */
  #child: ChildProcess | undefined;
  #lastRequest = 0;
  readonly #requests = new Map<number, (answer: Explanation | Report | undefined) => void>();

  constructor(
    private readonly poller: Poller,
    private readonly options: { readonly socketPath: string; readonly logPath: string; readonly pidPath: string; readonly version: string },
    private readonly log: Logger,
    private readonly events: DnsClientEvents,
  ) {}

  start(): void {
    if (this.state.kind !== "stopped") return;
    this.#connect();
  }

  get connected(): boolean {
    return this.state.kind === "running";
  }

  send(message: ToServer, descriptors: readonly number[] = []): void {
    // It has the table and the sockets: from here on both could answer, and one should.
    if (message.kind === "synced") this.#drainPredecessor();
    this.#link?.send(message, descriptors);
  }

  /** @returns undefined when the server does not know the sandbox or cannot read the query. Throws DNS_SERVER_SILENT. */
  async explain(sandbox: string, query: Buffer): Promise<Explanation | undefined> {
    return (await this.#request((request) => ({ kind: "explain", request, sandbox, query: query.toString("base64") }))) as Explanation | undefined;
  }

  async report(): Promise<Report> {
    return (await this.#request((request) => ({ kind: "report", request }))) as Report;
  }

  /** Ends every server and waits until they are gone. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.state = { kind: "stopped" };
    if (!this.#link?.hello) this.#child?.kill("SIGKILL"); // it holds nothing yet
    const links = [this.#link, this.#predecessor, ...this.#draining].filter((link) => link !== undefined);
    this.#link = this.#predecessor = undefined;
    this.#draining.clear();
    await Promise.all(links.map((link) => link.end()));
  }

  /** Leaves the servers as they are, for the next daemon. */
  leave(): void {
    clearTimeout(this.#timer);
    this.state = { kind: "stopped" };
    for (const link of [this.#link, this.#predecessor, ...this.#draining]) link?.close();
    this.#link = this.#predecessor = undefined;
    this.#draining.clear();
  }

  #connect(): void {
    this.state = { kind: "starting" };
    if (this.#predecessor) return this.#predecessor.askWhatItHolds(); // ours died before it had everything
    try {
      const existing = connectToServer(this.options.socketPath);
      if (existing === undefined) this.#startOwn([]);
      else this.#attach(existing, true, []);
    } catch (error) {
      this.#died(describeError(error));
    }
  }

  #startOwn(inherited: readonly HeldSandbox[]): void {
    const child = startServer(this.options);
    this.#child = child;
    child.on("exit", () => {
      if (this.#child === child) this.#child = undefined;
    });
    child.on("error", (error) => this.log.error({ reason: error.message }, "pontoon-dns could not be started"));
    const fd = connectToServer(this.options.socketPath);
    if (fd === undefined) throw new PontoonError("DNS_SERVER_START", this.options.socketPath, "pontoon-dns ended before it was ready");
    this.#attach(fd, false, inherited);
  }

  #attach(fd: number, adopted: boolean, inherited: readonly HeldSandbox[]): void {
    const link = new ServerLink(this.poller, fd, adopted, this.options.version, () => pidOfServer(this.options.pidPath), {
      onMessage: (message) => this.#onMessage(link, message),
      onEnd: (reason) => this.#onEnd(link, reason),
    });
    link.inherit(inherited);
    this.#link = link;
    link.askWhatItHolds();
  }

  #onMessage(link: ServerLink, message: Exclude<ToDaemon, { kind: "held" }>): void {
    if (link !== this.#link) return this.#onPredecessor(link, message);
    switch (message.kind) {
      case "hello":
        return this.#onHello(link, message);
      case "held-all":
        return this.events.onConnected(link.takeHeld());
      case "explained":
        return this.#answer(message.request, message.explanation);
      case "reported":
        return this.#answer(message.request, message.report);
      default:
        return this.events.onMessage(message);
    }
  }

  #onHello(link: ServerLink, { pid, version }: ToDaemon & { kind: "hello" }): void {
    if (!link.isOurs && !link.adopted) {
      link.kill();
      return this.#died("the program has been replaced by one of another version; restart the daemon");
    }
    if (!link.isOurs) {
      this.log.info({ version, pid }, "a pontoon-dns of another version runs; ours takes over from it");
      this.#predecessor = link;
      this.#link = undefined;
      return;
    }
    const { adopted } = link;
    this.state = { kind: "running", pid, version, adopted };
    this.log.info({ pid, adopted }, adopted ? "adopted the running pontoon-dns" : "pontoon-dns is running");
  }

  /** What it holds goes to a server of ours. Whatever else it says is not for us. */
  #onPredecessor(link: ServerLink, message: Exclude<ToDaemon, { kind: "held" }>): void {
    if (link !== this.#predecessor || message.kind !== "held-all") return;
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
    this.log.info({ pid: link.hello?.pid }, "pontoon-dns has taken over from the one of another version");
  }

  #onEnd(link: ServerLink, reason: string): void {
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
    for (const request of [...this.#requests.keys()]) this.#answer(request, undefined);
    clearTimeout(this.#timer);
    const now = Date.now();
    if (link?.adopted === true && !link.hello && now - (this.#deaths.at(-1) ?? 0) < endsWithin) {
      this.#timer = setTimeout(() => this.#connect(), endingLookedAtEvery);
      return;
    }
    this.#deaths = [...this.#deaths.filter((at) => now - at < deathsWithin), now];
    const words = lastWords(this.options.logPath);
    const count = this.#deaths.length;
    this.log.warn({ reason, ...(words === "" ? {} : { words }), deaths: count }, "pontoon-dns is gone; starting it again");
    if (count >= deathsAtMost) return this.#giveUp(held, `pontoon-dns ended ${count} times within ${deathsWithin / 1000} s (${words === "" ? reason : words})`);
    for (const { descriptors } of held) descriptors.forEach(closeDescriptor); // a predecessor is asked for them again
    this.state = { kind: "starting" };
    this.events.onLost();
    const delay = respawnAfter[Math.min(count - 1, respawnAfter.length - 1)]!;
    if (delay === 0) this.#connect();
    else this.#timer = setTimeout(() => this.#connect(), delay);
  }

  #giveUp(held: readonly HeldSandbox[], reason: string): void {
    this.state = { kind: "given-up", reason };
    this.log.error({ reason }, "every container is answered by Docker's own resolver");
    this.events.onGivenUp(held);
    this.events.onLost();
    void this.#predecessor?.end();
    this.#predecessor = undefined;
    this.#deaths = [];
    this.#timer = setTimeout(() => this.#connect(), retryAfterGivingUp);
  }

  #request(message: (request: number) => ToServer): Promise<Explanation | Report | undefined> {
    const request = ++this.#lastRequest;
    return new Promise((resolve, reject) => {
      if (!this.connected) return reject(new PontoonError("DNS_SERVER_SILENT", "pontoon-dns", "pontoon-dns is not running; see `pontoon status`"));
      const timer = setTimeout(() => {
        this.#requests.delete(request);
        reject(new PontoonError("DNS_SERVER_SILENT", "pontoon-dns", "pontoon-dns does not answer; see `pontoon status`"));
      }, requestTime);
      this.#requests.set(request, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.send(message(request));
    });
  }

  #answer(request: number, answer: Explanation | Report | undefined): void {
    const settle = this.#requests.get(request);
    this.#requests.delete(request);
    settle?.(answer);
  }
}
