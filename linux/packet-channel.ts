import { EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLERR } from "./constants.js";
import { duplicateDescriptor } from "./descriptors.js";
import { PACKET_SIZE, receivePacket, sendPacket, type Packet } from "./packet-connection.js";
import type { Poller, Watch } from "./poller.js";
import { closeDescriptor } from "./socket.js";

export interface ChannelHandlers<Incoming> {
  /** Whether a message is to come without its descriptors when there is no room for them; otherwise that ends the channel. */
  readonly allowLostDescriptors?: boolean;
  /** `descriptors` belong to the handler. Must not throw for anything a peer may send. */
  onMessage(message: Incoming, descriptors: number[]): void;
  /** Called once, when the peer is gone or broke the framing; never after {@link PacketChannel.close}. */
  onClose(reason: string): void;
}

interface Waiting {
  readonly bytes: Buffer;
  readonly descriptors: number[];
}

// A message larger than a packet comes in pieces, which begin with one of these bytes; JSON never does.
const PIECE = 1;
const LAST_PIECE = 2;
/** The largest message, bytes: reading one holds the receiver's loop for as long as its JSON takes. */
export const MESSAGE_SIZE = 4 << 20;
/** Pieces it may come in; a sender of ours fills them. */
const piecesAtMost = 2 * Math.ceil(MESSAGE_SIZE / PACKET_SIZE);

/** Messages taken before others get a turn, and the time, ms, after which others get theirs earlier. */
const messagesAtOnce = 64;
const turnTime = 1;

/**
 * JSON messages with descriptors over a SOCK_SEQPACKET socket, in order. What the peer does not take yet waits here,
 * up to a limit; beyond it the peer counts as hung and the channel closes.
 */
export class PacketChannel<Incoming, Outgoing> {
  readonly #waiting: Waiting[] = [];
  readonly #watch: Watch;
  #open = true;
  #pieces: Buffer[] = [];
  #piecesSize = 0;

  constructor(
    poller: Poller,
    readonly fd: number,
    private readonly handlers: ChannelHandlers<Incoming>,
    private readonly waitingAtMost = 200_000,
  ) {
    this.#watch = poller.watch(fd, EPOLLIN, (events) => this.#onReady(events));
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Messages the peer has not taken yet. */
  get backlog(): number {
    return this.#waiting.length;
  }

  /**
   * Sends in order. `descriptors` stay the caller's, and may be closed right after.
   * Throws a RangeError for more than {@link MESSAGE_SIZE}, a LinuxError when descriptors cannot be kept until the peer
   * reads; nothing is sent then, and the channel goes on.
   */
  send(message: Outgoing, descriptors: readonly number[] = []): void {
    if (!this.#open) return;
    const bytes = Buffer.from(JSON.stringify(message));
    if (bytes.length > MESSAGE_SIZE) throw new RangeError(`a message of ${bytes.length} bytes is too large`);
    if (bytes.length <= PACKET_SIZE) return this.#sendPacket(bytes, descriptors, () => duplicates(descriptors));
    // Before the first piece is on its way: half a message cannot be taken back.
    const own = duplicates(descriptors);
    const size = PACKET_SIZE - 1;
    for (let at = 0; at < bytes.length; at += size) {
      const isLast = at + size >= bytes.length;
      this.#sendPacket(
        Buffer.concat([Buffer.of(isLast ? LAST_PIECE : PIECE), bytes.subarray(at, at + size)]),
        isLast ? own : [],
        () => (isLast ? own.splice(0) : []),
      );
    }
    own.forEach(closeDescriptor);
  }

  /** @param keep duplicates the descriptors for a packet that has to wait; the duplicates are the channel's own */
  #sendPacket(bytes: Buffer, descriptors: readonly number[], keep: () => number[]): void {
    if (!this.#open) return;
    if (this.#waiting.length === 0 && this.#trySend(bytes, descriptors)) return;
    if (!this.#open) return;
    if (this.#waiting.length >= this.waitingAtMost) return this.#fail("it does not read its messages");
    this.#waiting.push({ bytes, descriptors: keep() });
    this.#watch.update(EPOLLIN | EPOLLOUT);
  }

  /** Sends only if that needs no waiting. @returns whether it was sent */
  sendOrDrop(message: Outgoing): boolean {
    if (!this.#open || this.#waiting.length > 0) return false;
    const bytes = Buffer.from(JSON.stringify(message));
    return bytes.length <= PACKET_SIZE && this.#trySend(bytes, []);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch.close();
    for (const { descriptors } of this.#waiting.splice(0)) descriptors.forEach(closeDescriptor);
    this.#pieces = [];
    closeDescriptor(this.fd);
  }

  #onReady(events: number): void {
    if (events & EPOLLOUT) this.#flush();
    if (this.#open && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) this.#receive();
  }

  #receive(): void {
    const until = performance.now() + turnTime;
    for (let count = 0; this.#open && count < messagesAtOnce; count++) {
      try {
        const packet = receivePacket(this.fd, this.handlers.allowLostDescriptors);
        if (packet === undefined) return;
        if (packet === "closed") return this.#fail("closed");
        this.#onPacket(packet);
      } catch (error) {
        return this.#fail((error as Error).message);
      }
      if (performance.now() > until) return; // the descriptor is still ready then
    }
  }

  #onPacket({ bytes, descriptors }: Packet): void {
    const whole = this.#whole(bytes);
    const message = whole.kind === "message" ? parsed(whole.bytes) : undefined;
    if (message !== undefined) return this.handlers.onMessage(message as Incoming, descriptors);
    descriptors.forEach(closeDescriptor);
    if (whole.kind === "message") this.#fail("it sent a message that is not JSON");
    else if (whole.kind === "excess") this.#fail("it sent a message that is too large");
  }

  /** The message a packet completes. */
  #whole(packet: Buffer): { kind: "message"; bytes: Buffer } | { kind: "piece" | "excess" } {
    const kind = packet[0];
    if (kind !== PIECE && kind !== LAST_PIECE) return { kind: "message", bytes: packet };
    this.#pieces.push(packet.subarray(1));
    this.#piecesSize += packet.length - 1;
    if (this.#piecesSize > MESSAGE_SIZE || this.#pieces.length > piecesAtMost) return { kind: "excess" };
    if (kind === PIECE) return { kind: "piece" };
    this.#piecesSize = 0;
    return { kind: "message", bytes: Buffer.concat(this.#pieces.splice(0)) };
  }

  #flush(): void {
    while (this.#open) {
      const next = this.#waiting[0];
      if (!next) return this.#watch.update(EPOLLIN);
      if (!this.#trySend(next.bytes, next.descriptors)) return;
      this.#waiting.shift();
      next.descriptors.forEach(closeDescriptor);
    }
  }

  #trySend(bytes: Buffer, descriptors: readonly number[]): boolean {
    try {
      return sendPacket(this.fd, bytes, descriptors);
    } catch (error) {
      this.#fail((error as Error).message);
      return false;
    }
  }

  #fail(reason: string): void {
    if (!this.#open) return;
    this.close();
    this.handlers.onClose(reason);
  }
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

/** All or none. */
function duplicates(descriptors: readonly number[]): number[] {
  const made: number[] = [];
  try {
    for (const descriptor of descriptors) made.push(duplicateDescriptor(descriptor));
    return made;
  } catch (error) {
    made.forEach(closeDescriptor);
    throw error;
  }
}
