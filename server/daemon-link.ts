import { readFirstToServer, type FirstToServer, type HeldAll, type Hello } from "../common/handshake.js";
import { EPOLLIN } from "../linux/constants.js";
import { PacketChannel } from "../linux/packet-channel.js";
import type { Reactor } from "../linux/reactor.js";
import { acceptSocket, closeDescriptor, peerCredentials, WOULD_BLOCK } from "../linux/socket.js";

/** What is told in slices waits while the daemon has not read so many messages. */
const backlogAtMost = 500;
const backlogLookedAtEvery = 5; // ms

/** What a server holds, as it is handed back to a daemon. */
export interface HeldMessage<Held> {
  readonly message: Held;
  readonly descriptors: readonly number[];
}

/** What a daemon may have told before, and tells again to keep it. */
export interface Known {
  readonly key: string;
  readonly forget: () => void;
}

/** The server that a daemon steers. */
export interface SteeredServer<Held, ToServer> {
  readonly protocol: number;
  readonly version: string;
  /** What it says of itself beside that, to a daemon of any version. */
  readonly about?: () => object;
  /** As {@link PacketChannel} has it. */
  readonly allowLostDescriptors?: boolean;
  /** What it holds; may change while it is told. */
  held(): Iterator<HeldMessage<Held>, undefined>;
  /** @returns undefined for what makes no sense */
  read(value: unknown): ToServer | undefined;
  /** A daemon is there; it has told nothing yet. The one before it, if any, is gone. */
  onAttached(): void;
  /** A daemon of the same protocol has said hello: it tells everything from here on. */
  onHello?(): void;
  onDetached(): void;
  /** @param descriptors belong to the handler */
  onMessage(message: ToServer, descriptors: number[]): void;
  /** Another server has everything: this one is to finish what is under way. */
  drain(): void;
  stop(): void;
}

/**
 * A server's end of its control socket. One daemon at a time steers it: the newest. It is greeted, told what the server
 * holds, and what it does not mention in turn is forgotten. Only root is listened to.
 */
export class DaemonLink<Held, ToServer, ToDaemon> {
  #channel: PacketChannel<unknown, Hello | Held | HeldAll | ToDaemon> | undefined;
  /** What the daemon has told since it said hello, by key; undefined before, and when it has told everything. */
  #mentioned: Set<string> | undefined;
  #isSilent = false;

  constructor(
    private readonly reactor: Pick<Reactor, "poller" | "timers">,
    private readonly server: SteeredServer<Held, ToServer>,
  ) {}

  /** Accepts daemons on a listening socket. */
  listen(fd: number): void {
    this.reactor.poller.watch(fd, EPOLLIN, () => {
      const accepted = acceptSocket(fd);
      if (accepted === WOULD_BLOCK) return;
      if (peerCredentials(accepted).uid !== 0) return closeDescriptor(accepted);
      this.#attach(accepted);
    });
  }

  /** Whether there is a daemon. */
  get isThere(): boolean {
    return this.#channel !== undefined;
  }

  /** Whether the daemon is still telling what there is. */
  get isBeingTold(): boolean {
    return this.#mentioned !== undefined;
  }

  /** @returns false when there is no daemon, or nothing is told any more */
  tell(message: Hello | Held | HeldAll | ToDaemon, descriptors: readonly number[] = []): boolean {
    if (!this.#channel?.isOpen || this.#isSilent) return false;
    this.#channel.send(message, descriptors);
    return true;
  }

  /** Nothing is told from here on. The connection stays open: its end tells the daemon that this server has ended. */
  fallSilent(): void {
    this.#isSilent = true;
  }

  /** Tells what is worth nothing later. @returns whether it was sent */
  tellOrDrop(message: ToDaemon): boolean {
    return this.#channel?.sendOrDrop(message) ?? false;
  }

  /**
   * Does something piece by piece, as fast as the daemon reads, for as long as it is there.
   * @param piece returns whether it was the last
   */
  inSlices(piece: () => boolean): void {
    const channel = this.#channel;
    const { timers, poller } = this.reactor;
    const go = () => {
      if (!channel || channel !== this.#channel) return;
      if (channel.backlog > backlogAtMost) timers.schedule(backlogLookedAtEvery, go);
      else if (!piece()) poller.defer(go);
    };
    go();
  }

  /** The daemon has told of something that it may have told before. */
  mention(key: string): void {
    this.#mentioned?.add(key);
  }

  /** The daemon has told everything of some kind, and goes on with others: what it did not mention of that is forgotten. */
  partTold(known: Iterable<Known>): void {
    const mentioned = this.#mentioned;
    if (mentioned) for (const { key, forget } of known) if (!mentioned.has(key)) forget();
  }

  /** The daemon has told everything: what it did not mention is forgotten. */
  allTold(known: Iterable<Known>): void {
    this.partTold(known);
    this.#mentioned = undefined;
  }

  #attach(fd: number): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#mentioned = undefined;
    this.server.onAttached();
    this.#channel = new PacketChannel(this.reactor.poller, fd, {
      ...(this.server.allowLostDescriptors === true && { allowLostDescriptors: true }),
      onMessage: (message, descriptors) => this.#onMessage(message, descriptors),
      onClose: () => {
        this.#channel = undefined;
        this.#mentioned = undefined;
        this.server.onDetached();
      },
    });
  }

  #onMessage(value: unknown, descriptors: number[]): void {
    const first = readFirstToServer(value);
    const message = first ? undefined : this.server.read(value);
    if (message) return this.server.onMessage(message, descriptors);
    descriptors.forEach(closeDescriptor);
    if (first) this.#onFirst(first); // else it is of a daemon of another version
  }

  #onFirst(message: FirstToServer): void {
    switch (message.kind) {
      case "hello":
        return this.#onHello(message.protocol);
      case "drain":
        return this.server.drain();
      case "stop":
        return this.server.stop();
    }
  }

  #onHello(theirs: number): void {
    const { protocol, version } = this.server;
    this.tell({ kind: "hello", protocol, version, pid: process.pid, ...this.server.about?.() });
    if (theirs === protocol) {
      this.#mentioned = new Set();
      this.server.onHello?.();
    }
    const held = this.server.held();
    this.inSlices(() => {
      const some = taken(held);
      for (const { message, descriptors } of some) this.tell(message, descriptors);
      if (some.length === SLICE) return false;
      this.tell({ kind: "held-all" });
      return true;
    });
  }
}

/** Things told in one piece. */
export const SLICE = 100;

/** The next of them, as many as are told in one piece: fewer at the end. */
export function taken<Thing>(things: Iterator<Thing, undefined>): Thing[] {
  const some: Thing[] = [];
  while (some.length < SLICE) {
    const next = things.next();
    if (next.done === true) break;
    some.push(next.value);
  }
  return some;
}
