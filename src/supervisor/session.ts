import { readFromServer, type FirstToServer, type HeldAll, type Hello } from "../../common/handshake.js";
import { PacketChannel } from "../../linux/packet-channel.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor } from "../../linux/socket.js";
import { isServer, signalServer, type ServerProgram } from "./process.js";

/** A message of a server's may not take more of the log than this, characters. */
const quotedAtMost = 100;

/** How often a server is asked for a sign of life, ms, and how many turns in a row it may leave a question unanswered. */
const turnEvery = 2500;
const silentTurnsAtMost = 3;

/** What a daemon and one kind of server say to each other after the handshake. */
export interface Language {
  readonly toServer: { readonly kind: string };
  readonly toDaemon: { readonly kind: string };
  /** Something it holds for an earlier daemon; its descriptors come along. */
  readonly held: { readonly kind: "held" };
}

/** The kind of server that is spoken to. */
export interface ServerKind<L extends Language> extends ServerProgram {
  /** After the handshake, daemon and server understand each other only if they speak the same number. */
  readonly protocol: number;
  /** Whatever is heard counts as the answer. */
  readonly signOfLife: L["toServer"];
  /** Undefined for what is no message of such a server. */
  readonly readMessage: (value: unknown) => L["toDaemon"] | undefined;
  readonly readHeld: (value: unknown) => L["held"] | undefined;
  /** What it names only once, and how many descriptors come with it. */
  readonly keyOfHeld: (held: L["held"]) => string;
  readonly descriptorsHeld: number;
  /** More things no server holds. */
  readonly heldAtMost: number;
  /** Until a server that was told to end is killed, ms; and one that finishes what is under way, undefined for never. */
  readonly endTime: number;
  readonly drainTime: number | undefined;
  /** Whether one of another version is left to serve when none of ours can; else what it does falls to Docker. */
  readonly hasNoSubstitute: boolean;
  /** What it means that servers died too often, for the log. */
  readonly withoutIt: string;
}

/** What a server holds for an earlier daemon. */
export type Held<L extends Language> = L["held"] & {
  readonly descriptors: number[];
  /** Held by a server that another replaces: that one has yet to be given it. */
  readonly inherited: boolean;
};

export interface ServerLinkEvents<L extends Language> {
  onHello(hello: Hello): void;
  /** It has said all it holds: {@link ServerLink.takeHeld}. */
  onHeldAll(): void;
  /** `descriptors` do not come along: none belongs to any of these. */
  onMessage(message: L["toDaemon"]): void;
  /**
   * The server has ended, or was killed because it hangs or breaks the rules. Never after {@link ServerLink.close}, which
   * remains to be called.
   */
  onEnd(reason: string): void;
}

/** The daemon's connection to one server, and what its handshake said. */
export class ServerLink<L extends Language> {
  hello: Hello | undefined;
  #held: Held<L>[] = [];
  /** What it has said it holds since it was asked last. */
  #keysHeld = new Set<string>();
  /** Times it was asked what it holds, and has not said all of it yet. */
  #asked = 0;
  readonly #channel: PacketChannel<unknown, FirstToServer | L["toServer"]>;
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
    private readonly kind: ServerKind<L>,
    poller: Poller,
    fd: number,
    readonly adopted: boolean,
    private readonly version: string,
    private readonly pidBefore: () => number | undefined,
    private readonly events: ServerLinkEvents<L>,
  ) {
    this.#channel = new PacketChannel<unknown, FirstToServer | L["toServer"]>(poller, fd, {
      onMessage: (message, descriptors) => this.#onMessage(message, descriptors),
      onClose: (reason) => this.#end(reason),
    });
    this.#turns = setInterval(() => this.#turn(), turnEvery);
  }

  /** Whether it is of this daemon's version; with any other there is only the handshake. */
  get isOurs(): boolean {
    return this.hello?.protocol === this.kind.protocol && this.hello.version === this.version;
  }

  /** Says hello, for the first time or once more: answered with hello, what it holds, and `held-all`. */
  askWhatItHolds(): void {
    this.#asked++;
    this.#sendFirst({ kind: "hello", protocol: this.kind.protocol, version: this.version });
    this.#silentTurns ??= 0;
  }

  /** Adds what a predecessor holds to what is to be taken from this one. */
  inherit(held: readonly Held<L>[]): void {
    this.#held.push(...held);
  }

  /** What it has said it holds, since this was last asked. The descriptors are the caller's from then on. */
  takeHeld(): Held<L>[] {
    const held = this.#held;
    this.#held = [];
    this.#keysHeld.clear();
    return held;
  }

  /** Messages it has not taken yet. */
  get backlog(): number {
    return this.#channel.backlog;
  }

  send(message: L["toServer"], descriptors: readonly number[] = []): void {
    this.#channel.send(message, descriptors);
  }

  /** Sends it unless it is of another version, or something waits already. */
  sendOrDrop(message: L["toServer"]): void {
    if (this.isOurs) this.#channel.sendOrDrop(message);
  }

  /** Another server has its sockets: it finishes what is under way, and ends. */
  drain(): void {
    if (this.#replaced) return;
    this.#replaced = true;
    this.#sendFirst({ kind: "drain" });
    if (this.kind.drainTime !== undefined) this.#killing = setTimeout(() => this.kill(), this.kind.drainTime);
  }

  /** Has it close everything and end, and waits until it is gone. */
  async end(): Promise<void> {
    const pid = this.hello?.pid;
    this.#sendFirst({ kind: "stop" });
    for (let waited = 0; pid !== undefined && waited < this.kind.endTime && isServer(this.kind, pid); waited += 10)
      await new Promise((resolve) => setTimeout(resolve, 10));
    this.kill();
    this.close();
  }

  /** Has it close everything and end in its own time; it is not spoken to any more. */
  retire(): void {
    this.#sendFirst({ kind: "stop" });
    this.close();
  }

  kill(): void {
    const pid = this.hello?.pid ?? this.pidBefore();
    if (pid !== undefined) signalServer(this.kind, pid, "SIGKILL");
  }

  /** Ends the connection; the server goes on. Can be called twice. */
  close(): void {
    this.#disconnect();
    for (const { descriptors } of this.takeHeld()) descriptors.forEach(closeDescriptor);
  }

  #sendFirst(message: FirstToServer): void {
    this.#channel.send(message);
  }

  /** Whatever is odd about a server of ours shows that it was broken into; one of another version may know more words. */
  #onMessage(value: unknown, descriptors: number[]): void {
    this.#silentTurns = undefined;
    const held = this.kind.readHeld(value);
    if (held !== undefined) return this.#onHeld(held, descriptors);
    descriptors.forEach(closeDescriptor);
    const first = readFromServer(value);
    const message = first ?? this.kind.readMessage(value);
    const isFit = message !== undefined && descriptors.length === 0 && (first === undefined || this.#asked > 0);
    if (!isFit) return this.isOurs ? this.#refuse(value) : undefined;
    // Before hello, news may come that was on its way already.
    if (first === undefined) return this.hello && this.events.onMessage(message);
    if (first.kind === "hello") this.#onHello(first);
    else this.#onHeldAll(first);
  }

  /** One process, one version: it says nothing else when it is asked again. */
  #onHello(hello: Hello): void {
    if (this.hello && (hello.pid !== this.hello.pid || hello.version !== this.hello.version))
      return this.#refuse(hello);
    this.hello = hello;
    this.events.onHello(hello);
  }

  #onHeldAll(message: HeldAll): void {
    if (!this.hello) return this.#refuse(message);
    this.#asked--;
    this.events.onHeldAll();
  }

  #onHeld(held: L["held"], descriptors: number[]): void {
    const key = this.kind.keyOfHeld(held);
    const isFit =
      this.hello &&
      this.#asked > 0 &&
      this.#held.length < this.kind.heldAtMost &&
      descriptors.length === this.kind.descriptorsHeld &&
      !this.#keysHeld.has(key);
    if (!isFit) {
      descriptors.forEach(closeDescriptor);
      return this.#refuse(held);
    }
    this.#keysHeld.add(key);
    this.#held.push({ ...held, descriptors, inherited: !this.isOurs });
  }

  #refuse(message: unknown): void {
    this.breaks(`it said ${JSON.stringify(message).slice(0, quotedAtMost)}`);
  }

  /** The server does what no server of ours does: it is killed, and what it holds is not believed. */
  breaks(what: string): void {
    for (const { descriptors } of this.takeHeld()) descriptors.forEach(closeDescriptor);
    this.kill();
    this.#end(`it broke the rules: ${what}`);
  }

  /**
   * A server that hangs holds its sockets, and would for ever. Its silence is counted in turns of this daemon: one that
   * was itself kept from running for a while has not listened.
   */
  #turn(): void {
    if (this.#replaced) return;
    if (this.#silentTurns === undefined) {
      if (!this.isOurs) return;
      this.#silentTurns = 0;
      this.send(this.kind.signOfLife);
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
