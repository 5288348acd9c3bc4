import { PROTOCOL, type FirstToDaemon, type FirstToServer, type ToDaemon, type ToServer } from "../../dns/protocol.js";
import { moveDescriptor } from "../linux/descriptors.js";
import { PacketChannel } from "../linux/packet-channel.js";
import type { Poller } from "../linux/poller.js";
import { closeDescriptor } from "../linux/socket.js";
import { isServer, signalServer } from "./dns-process.js";

/** How often a server is asked for a sign of life, ms, and how many turns in a row it may leave a question unanswered. */
const turnEvery = 2500;
const silentTurnsAtMost = 3;
/** Until a server that was told to end is killed, ms; one that drains may take 10 s itself. */
const endTime = 2000;
const drainTime = 15_000;

/** A sandbox a server holds for an earlier daemon. Descriptors: pidfd, UDP, TCP. */
export interface HeldSandbox {
  readonly sandbox: string;
  readonly port: number;
  readonly descriptors: number[];
  /** Held by a server that another replaces: that one has yet to be given it. */
  readonly inherited: boolean;
}

export interface ServerLinkEvents {
  /** `hello`, `held-all` and all that follows; `held` is collected by the link. */
  onMessage(message: Exclude<ToDaemon, { kind: "held" }>): void;
  /**
   * The server has ended, broke the framing, or was killed because it hangs. Never after {@link ServerLink.close}, which
   * remains to be called.
   */
  onEnd(reason: string): void;
}

/** The daemon's connection to one pontoon-dns, and what its first words said. */
export class ServerLink {
  hello: (FirstToDaemon & { kind: "hello" }) | undefined;
  readonly #held: HeldSandbox[] = [];
  readonly #channel: PacketChannel<ToDaemon, ToServer>;
  readonly #turns: NodeJS.Timeout;
  #killing: NodeJS.Timeout | undefined;
  #replaced = false;
  /** Turns since something was asked of which nothing was heard; undefined when no answer is due. */
  #silentTurns: number | undefined;

  /**
   * @param adopted whether it ran before this daemon
   * @param version of this daemon, and so of its own servers
   * @param pidBefore the process a server that never said hello must be, if any
   */
  constructor(
    poller: Poller,
    fd: number,
    readonly adopted: boolean,
    private readonly version: string,
    private readonly pidBefore: () => number | undefined,
    private readonly events: ServerLinkEvents,
  ) {
    this.#channel = new PacketChannel<ToDaemon, ToServer>(poller, fd, {
      onMessage: (message, descriptors) => this.#onMessage(message, descriptors),
      onClose: (reason) => this.#end(reason),
    });
    this.#turns = setInterval(() => this.#turn(), turnEvery);
  }

  /** Whether it is of this daemon's version; any other is spoken to in first words only. */
  get isOurs(): boolean {
    return this.hello?.protocol === PROTOCOL && this.hello.version === this.version;
  }

  /** Says hello, for the first time or once more: answered with hello, what it holds, and `held-all`. */
  askWhatItHolds(): void {
    this.#sendFirst({ kind: "hello", protocol: PROTOCOL, version: this.version });
    this.#silentTurns ??= 0;
  }

  /** Adds what a predecessor holds to what is to be taken from this one. */
  inherit(held: readonly HeldSandbox[]): void {
    this.#held.push(...held);
  }

  /** What it has said it holds, since this was last asked. The descriptors are the caller's from then on. */
  takeHeld(): HeldSandbox[] {
    return this.#held.splice(0);
  }

  send(message: ToServer, descriptors: readonly number[] = []): void {
    this.#channel.send(message, descriptors);
  }

  /** Another server has its sockets: it finishes what it was asked, and ends. */
  drain(): void {
    if (this.#killing) return;
    this.#replaced = true;
    this.#sendFirst({ kind: "drain" });
    this.#killing = setTimeout(() => this.kill(), drainTime);
  }

  /** Has it close everything and end, and waits until it is gone. */
  async end(): Promise<void> {
    const pid = this.hello?.pid;
    this.#sendFirst({ kind: "stop" });
    for (let waited = 0; pid !== undefined && waited < endTime && isServer(pid); waited += 10) await new Promise((resolve) => setTimeout(resolve, 10));
    this.kill();
    this.close();
  }

  kill(): void {
    const pid = this.hello?.pid ?? this.pidBefore();
    if (pid !== undefined) signalServer(pid, "SIGKILL");
  }

  /** Ends the connection; the server goes on. Can be called twice. */
  close(): void {
    this.#disconnect();
    for (const { descriptors } of this.takeHeld()) descriptors.forEach(closeDescriptor);
  }

  #sendFirst(message: FirstToServer): void {
    this.#channel.send(message);
  }

  #onMessage(message: ToDaemon, descriptors: number[]): void {
    this.#silentTurns = undefined;
    if (message.kind === "held") {
      const { sandbox, port } = message;
      this.#held.push({ sandbox, port, descriptors: descriptors.map(moveDescriptor), inherited: !this.isOurs });
      return;
    }
    descriptors.forEach(closeDescriptor); // none belongs to any other
    if (message.kind === "hello") this.hello = message;
    this.events.onMessage(message);
  }

  /**
   * A server that hangs lets its takeovers lapse, but holds their sockets, and would for ever. Its silence is counted in
   * turns of this daemon: one that was itself kept from running for a while has not listened.
   */
  #turn(): void {
    if (this.#replaced) return;
    if (this.#silentTurns === undefined) {
      if (!this.isOurs) return;
      this.#silentTurns = 0;
      this.send({ kind: "report", request: 0 });
    } else if (++this.#silentTurns >= silentTurnsAtMost) {
      this.kill();
      this.#end("no sign of life");
    }
  }

  #disconnect(): void {
    clearInterval(this.#turns);
    clearTimeout(this.#killing);
    this.#channel.close();
  }

  #end(reason: string): void {
    this.#disconnect();
    this.events.onEnd(reason);
  }
}
