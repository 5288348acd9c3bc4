import { randomFillSync } from "node:crypto";
import type { SocketAddress } from "../../common/address.js";
import { EPOLLIN } from "../../linux/constants.js";
import type { Poller, Watch } from "../../linux/poller.js";
import {
  closeDescriptor,
  connectSocket,
  disconnectSocket,
  receiveBytes,
  sendBytes,
  socketError,
  WOULD_BLOCK,
} from "../../linux/socket.js";
import { errorCode } from "../../common/errors.js";
import { isReplyTo } from "../wire/reply-check.js";
import { TimeBudget } from "./time-budget.js";

/** How one question to one server ended. */
export type ExchangeOutcome =
  | { readonly kind: "reply"; readonly reply: Buffer }
  | {
      readonly kind: "failed";
      readonly reason: string;
      /** It was never asked: this says nothing of the server. */ readonly unasked?: true;
    };

/** A question under way. Cancelling forgets it; a late reply is dropped. */
export interface Exchange {
  cancel(): void;
}

interface Waiting {
  readonly query: Buffer;
  readonly questionEnd: number;
  readonly done: (outcome: ExchangeOutcome) => void;
}

// One receive buffer for all: a reply is copied out of it once it has been checked.
const scratch = Buffer.from(new ArrayBuffer(65536));
const repliesAtOnce = 4;

/** One UDP socket connected to one server. Replies are matched by a random id, the question, and (by the kernel) the sender. */
export class UdpChannel {
  readonly #waiting = new Map<number, Waiting>();
  readonly #watch: Watch;
  #peer: string | undefined;
  #isOpen = true;
  /** Datagrams that answered no current question: late, or forged. */
  unexpected = 0;

  /**
   * @param onIdle called when the last question under way has ended
   * @param turn shared with the other channels of whoever they work for
   */
  constructor(
    private readonly poller: Poller,
    private readonly fd: number,
    private readonly onIdle: () => void = () => undefined,
    turn = new TimeBudget(poller),
  ) {
    this.#watch = poller.watch(fd, EPOLLIN, () => turn.isLeft && turn.spend(() => this.#receive()));
  }

  get busy(): number {
    return this.#waiting.size;
  }

  get peer(): string | undefined {
    return this.#peer;
  }

  /** Connects to a server, from a new random port when it was connected before. Only while idle. */
  connect(server: SocketAddress): void {
    this.release();
    socketError(this.fd); // an ICMP message for an earlier question must not fail this one
    connectSocket(this.fd, server);
    this.#peer = `${server.ip}#${server.port}`;
  }

  /** Gives its port back, which a program may want to bind. Only while idle. */
  release(): void {
    if (this.#peer !== undefined && this.#isOpen) disconnectSocket(this.fd);
    this.#peer = undefined;
  }

  /**
   * Sends a query under an id of its own.
   * @param questionEnd offset just past the question in `query`
   * @param done called once, never from inside this call; the reply carries the id that was sent, not the client's
   */
  ask(query: Buffer, questionEnd: number, done: (outcome: ExchangeOutcome) => void): Exchange {
    const id = this.#freeId();
    const sent = Buffer.from(query);
    sent.writeUInt16BE(id, 0);
    const waiting = { query: sent, questionEnd, done };
    this.#waiting.set(id, waiting);
    try {
      // A full socket buffer loses the datagram, as any router on the way might.
      sendBytes(this.fd, sent);
    } catch (error) {
      this.poller.defer(() => this.#finish(id, { kind: "failed", reason: errorCode(error) ?? "send failed" }));
    }
    return {
      cancel: () => {
        if (this.#waiting.get(id) !== waiting) return;
        this.#waiting.delete(id);
        if (this.#waiting.size === 0) this.onIdle();
      },
    };
  }

  close(): void {
    this.#isOpen = false;
    this.#watch.close();
    closeDescriptor(this.fd);
    for (const id of [...this.#waiting.keys()]) this.#finish(id, { kind: "failed", reason: "closed", unasked: true });
  }

  #receive(): void {
    let failed:
      { readonly reason: string; readonly waiting: readonly (readonly [id: number, waiting: Waiting])[] } | undefined;
    for (let count = 0; count < repliesAtOnce; count++) {
      try {
        const length = receiveBytes(this.fd, scratch);
        if (length === WOULD_BLOCK) break;
        this.#take(scratch.subarray(0, length));
      } catch (error) {
        // An ICMP message for something sent from here. The kernel tells it before replies that came ahead of it, and those count.
        failed ??= { reason: errorCode(error) ?? "receive failed", waiting: [...this.#waiting] };
      }
    }
    if (!failed) return;
    // Those who still wait are told instead of being left to time out; those who asked since are not concerned.
    for (const [id, waiting] of failed.waiting)
      if (this.#waiting.get(id) === waiting) this.#finish(id, { kind: "failed", reason: failed.reason });
  }

  #take(reply: Buffer): void {
    const id = reply.length >= 2 ? reply.readUInt16BE(0) : -1;
    const waiting = this.#waiting.get(id);
    if (!waiting || !isReplyTo(reply, waiting.query, waiting.questionEnd)) {
      this.unexpected++;
      return;
    }
    this.#finish(id, { kind: "reply", reply: Buffer.from(reply) });
  }

  #finish(id: number, outcome: ExchangeOutcome): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    waiting.done(outcome);
    if (this.#waiting.size === 0) this.onIdle();
  }

  #freeId(): number {
    for (;;) {
      const id = randomId();
      if (!this.#waiting.has(id)) return id;
    }
  }
}

const pool = new Uint16Array(2048);
let poolAt = pool.length;

/** An unpredictable 16-bit id (RFC 5452 section 9.2); randomness is drawn in blocks. */
export function randomId(): number {
  if (poolAt === pool.length) {
    randomFillSync(pool);
    poolAt = 0;
  }
  return pool[poolAt++]!;
}
