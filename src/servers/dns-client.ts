import { PROTOCOL, type Explanation, type Report, type ToDaemon, type ToServer } from "../../dns/protocol.js";
import type { ChildProcess } from "node:child_process";
import type { Logger } from "pino";
import { describeError, PontoonError } from "../errors.js";
import { PacketChannel } from "../linux/packet-channel.js";
import type { Poller } from "../linux/poller.js";
import { closeDescriptor } from "../linux/socket.js";
import { connectToServer, isServer, lastWords, pidOfServer, signalServer, startServer } from "./dns-process.js";

const respawnAfter = [0, 100, 500, 2000]; // ms after the 1st, 2nd, … death in a row
const deathsAtMost = 5;
const deathsWithin = 30_000; // ms
const retryAfterGivingUp = 60_000; // ms
const requestTime = 6000; // ms
const helloTime = 10_000; // ms
/** How often the server is asked for a sign of life, and for how long its silence is taken for work, ms. */
const pingEvery = 3000;
const silentAtMost = 7000;

/** A sandbox the server held already, from an earlier daemon. Descriptors: pidfd, UDP, TCP, marked UDP. */
export interface HeldSandbox {
  readonly sandbox: string;
  readonly port: number;
  readonly descriptors: number[];
}

export type DnsServerState =
  | { readonly kind: "stopped" }
  | { readonly kind: "starting" }
  | { readonly kind: "running"; readonly pid: number; readonly version: string; readonly adopted: boolean }
  /** It died too often: every namespace has gone back to Docker. */
  | { readonly kind: "given-up"; readonly reason: string };

export interface DnsClientEvents {
  /** A server is connected and waits for the table. `held` descriptors belong to the handler. */
  onConnected(held: readonly HeldSandbox[]): void;
  /** The server is gone; another is on its way. */
  onLost(): void;
  /** The server died too often. */
  onGivenUp(): void;
  onMessage(message: ToDaemon): void;
}

/** Keeps one pontoon-dns running and speaks with it: takes over one that runs already, starts one else. */
export class DnsClient {
  state: DnsServerState = { kind: "stopped" };
  #channel: PacketChannel<ToDaemon, ToServer> | undefined;
  #held: HeldSandbox[] = [];
  #deaths: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** The server started last; it may not have said hello yet. */
  #child: ChildProcess | undefined;
  #ping: NodeJS.Timeout | undefined;
  #heardAt = 0;
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
    this.#channel?.send(message, descriptors);
  }

  /** @returns undefined when the server does not know the sandbox or cannot read the query. Throws DNS_SERVER_SILENT. */
  async explain(sandbox: string, query: Buffer): Promise<Explanation | undefined> {
    return (await this.#request((request) => ({ kind: "explain", request, sandbox, query: query.toString("base64") }))) as Explanation | undefined;
  }

  async report(): Promise<Report> {
    return (await this.#request((request) => ({ kind: "report", request }))) as Report;
  }

  /** Ends the server and waits until it is gone. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    const running = this.state.kind === "running" ? this.state : undefined;
    this.state = { kind: "stopped" };
    clearInterval(this.#ping);
    if (running && this.#channel) {
      this.send({ kind: "stop" });
      for (let waited = 0; waited < 2000 && isServer(running.pid); waited += 10) await new Promise((resolve) => setTimeout(resolve, 10));
      signalServer(running.pid, "SIGKILL");
    } else this.#child?.kill("SIGKILL"); // it holds nothing yet
    this.#channel?.close();
    this.#channel = undefined;
  }

  #connect(): void {
    this.state = { kind: "starting" };
    try {
      const existing = connectToServer(this.options.socketPath);
      const adopted = existing !== undefined;
      if (!adopted) this.#startServer();
      const fd = existing ?? connectToServer(this.options.socketPath);
      if (fd === undefined) throw new PontoonError("DNS_SERVER_START", this.options.socketPath, "pontoon-dns ended before it was ready");
      this.#attach(fd, adopted);
    } catch (error) {
      this.#died(describeError(error));
    }
  }

  #startServer(): void {
    const child = startServer(this.options);
    this.#child = child;
    child.on("exit", () => {
      if (this.#child === child) this.#child = undefined;
    });
    child.on("error", (error) => this.log.error({ reason: error.message }, "pontoon-dns could not be started"));
  }

  #attach(fd: number, adopted: boolean): void {
    this.#held = [];
    const channel = new PacketChannel<ToDaemon, ToServer>(this.poller, fd, {
      onMessage: (message, descriptors) => this.#onMessage(message, descriptors, adopted),
      onClose: (reason) => this.#died(reason),
    });
    this.#channel = channel;
    this.send({ kind: "hello", protocol: PROTOCOL, version: this.options.version });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#hangs("no answer to the first message", pidOfServer(this.options.pidPath)), helloTime);
  }

  #onMessage(message: ToDaemon, descriptors: number[], adopted: boolean): void {
    this.#heardAt = performance.now();
    if (message.kind !== "held") descriptors.forEach(closeDescriptor); // none belongs to any other
    switch (message.kind) {
      case "hello":
        return this.#onHello(message, adopted);
      case "held":
        this.#held.push({ sandbox: message.sandbox, port: message.port, descriptors });
        return;
      case "held-all":
        return this.events.onConnected(this.#held.splice(0));
      case "explained":
        return this.#answer(message.request, message.explanation);
      case "reported":
        return this.#answer(message.request, message.report);
      default:
        return this.events.onMessage(message);
    }
  }

  #onHello({ protocol, pid, version }: ToDaemon & { kind: "hello" }, adopted: boolean): void {
    clearTimeout(this.#timer);
    if (protocol !== PROTOCOL) {
      this.log.info({ version }, "a pontoon-dns of another version runs; replacing it");
      signalServer(pid, "SIGTERM"); // the channel's end starts one of ours
      return;
    }
    this.state = { kind: "running", pid, version, adopted };
    clearInterval(this.#ping);
    this.#ping = setInterval(() => this.#checkLife(pid), pingEvery);
    this.log.info({ pid, adopted }, adopted ? "adopted the running pontoon-dns" : "pontoon-dns is running");
  }

  /** A server that hangs lets its takeovers lapse, but holds their sockets, and would for ever. */
  #checkLife(pid: number): void {
    if (performance.now() - this.#heardAt > silentAtMost) this.#hangs("no sign of life", pid);
    else this.send({ kind: "report", request: 0 });
  }

  #hangs(reason: string, pid: number | undefined): void {
    if (pid !== undefined) signalServer(pid, "SIGKILL");
    this.#died(reason);
  }

  #died(reason: string): void {
    clearInterval(this.#ping);
    this.#channel?.close();
    this.#channel = undefined;
    for (const { descriptors } of this.#held.splice(0)) descriptors.forEach(closeDescriptor);
    for (const request of [...this.#requests.keys()]) this.#answer(request, undefined);
    if (this.state.kind === "stopped") return;
    const now = Date.now();
    this.#deaths = [...this.#deaths.filter((at) => now - at < deathsWithin), now];
    this.state = { kind: "starting" };
    this.events.onLost();
    const words = lastWords(this.options.logPath);
    const count = this.#deaths.length;
    this.log.warn({ reason, ...(words === "" ? {} : { words }), deaths: count }, "pontoon-dns is gone; starting it again");
    clearTimeout(this.#timer);
    if (count >= deathsAtMost) {
      this.state = { kind: "given-up", reason: `pontoon-dns ended ${count} times within ${deathsWithin / 1000} s${words === "" ? "" : ` (${words})`}` };
      this.log.error({ reason: this.state.reason }, "every container is answered by Docker's own resolver");
      this.events.onGivenUp();
      this.#deaths = [];
      this.#timer = setTimeout(() => this.#connect(), retryAfterGivingUp);
      return;
    }
    const delay = respawnAfter[Math.min(count - 1, respawnAfter.length - 1)]!;
    if (delay === 0) this.#connect();
    else this.#timer = setTimeout(() => this.#connect(), delay);
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
