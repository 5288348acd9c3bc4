import {
  ECONNRESET,
  EINPROGRESS,
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  EPIPE,
  ETIMEDOUT,
  SHUT_WR,
} from "../../linux/constants.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor, resetAndClose, setKeepalive, setReset, socketError } from "../../linux/socket.js";
import { shutdownSocket, startConnecting, unacknowledged } from "../../linux/stream.js";
import type { Timer, TimerWheel } from "../../linux/timer-wheel.js";
import type { Taken } from "./bulk.js";
import type { Pipes } from "./pipes.js";
import { copy, flush, Moved, splice } from "./tcp-direction.js";
import { End } from "./tcp-end.js";

/** The owner of a connection, which is told what becomes of it. */
export interface ConnectionOwner {
  readonly poller: Poller;
  readonly timers: TimerWheel;
  readonly pipes: Pipes;
  /** Bytes in one direction after which a connection counts as bulk; 0 for one that does from the start. */
  readonly bulkAfter: number;
  readonly connectTimeoutMs: number;
  readonly halfClosedIdleMs: number;
  /** The container did not take the connection; its client has been reset. @param errno why; undefined when it was given up on */
  onFailedDial(connection: TcpConnection, errno: number | undefined): void;
  /** May take the connection away with {@link TcpConnection.detach}. If not, it is told again after as many bytes. */
  onBulk(connection: TcpConnection): Taken;
  /** Both sockets are closed. */
  onEnd(connection: TcpConnection): void;
}

/** Dead peers are found after 60 s + 4 × 15 s of silence. */
export const keepalive = { idle: 60, interval: 15, probes: 4 } as const;

/**
 * When one end was lost, the other is looked at until it has taken what was sent before, and then reset; or it has taken nothing
 * for the last of these times. Ms.
 */
const lastWords = { lookFirst: 10, lookAtMost: 500, patience: 10_000 } as const;

const watched = (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET) >>> 0;
const ending = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

const enum Phase {
  Dialling,
  Open,
  /** One end failed: what it had sent is still delivered, then the other is reset. */
  Broken,
  Over,
}

/** What another process needs to go on with a connection, besides its two descriptors. */
export interface EndState {
  readonly ended: boolean;
  readonly shut: boolean;
  readonly unsent: Buffer | undefined;
}

/** One client's connection, passed on to the container. */
export class TcpConnection {
  readonly client: End;
  readonly container: End;
  #phase = Phase.Dialling;
  #dialError: number | undefined;
  /** Whether it is spliced. */
  #bulk: boolean;
  /** Bytes in one direction after which its owner is offered it. */
  #offeredAfter: number;
  #again = false;
  /** When its present state began, if that has a time limit, by the owner's clock; else undefined. */
  #since: number | undefined;
  #receivedThen = 0;
  #isProbed = false;
  #resetsOnClose = false;
  /** Timer of the next look at whether the last bytes were delivered. */
  #look: Timer | undefined;

  constructor(
    private readonly owner: ConnectionOwner,
    client: number,
    container: number,
    /** The container's address. */
    readonly to: string,
  ) {
    this.client = new End(client, this);
    this.container = new End(container, this);
    this.client.peer = this.container;
    this.container.peer = this.client;
    this.#bulk = owner.bulkAfter === 0;
    this.#offeredAfter = owner.bulkAfter || Infinity;
  }

  get isOver(): boolean {
    return this.#phase === Phase.Over;
  }

  /**
   * Connects to the container.
   * @param now of the owner's clock, ms
   * @param greeting sent to the container first: a PROXY protocol header, and bytes of the client that have been read already
   */
  dial(target: Buffer, now: number, greeting: Buffer | undefined): void {
    this.#since = now;
    this.container.unsent = greeting;
    const result = startConnecting(this.container.fd, target);
    if (result !== 0 && result !== -EINPROGRESS) return this.#failDial(-result);
    this.container.token = this.owner.poller.add(this.container.fd, watched, this.container);
  }

  /** Goes on with a connection that another process began, and whose sockets are reset when the last process that has them closes them. */
  adopt(client: EndState, container: EndState): void {
    Object.assign(this.client, client);
    Object.assign(this.container, container);
    this.#probe();
    this.#phase = Phase.Open;
    this.#resetsOnClose = true;
    for (const end of [this.client, this.container]) end.token = this.owner.poller.add(end.fd, watched, end);
  }

  /** Lets go of both descriptors without closing them: another process goes on with them. Only if it is detachable. */
  detach(): void {
    this.#phase = Phase.Over;
    for (const end of [this.client, this.container]) this.owner.poller.remove(end.fd, end.token);
  }

  /** Whether it can be detached: it is open, neither end is lost, and all bytes on the way are in memory and without an urgent mark. */
  get isDetachable(): boolean {
    return (
      this.#phase === Phase.Open &&
      [this.client, this.container].every(
        ({ pipe, needsCare, isUnsentUrgent, isLost }) => pipe === undefined && !needsCare && !isUnsentUrgent && !isLost,
      )
    );
  }

  /** If it is not connected yet, the client is reset. */
  giveUpDial(): void {
    if (this.#phase === Phase.Dialling) this.#failDial();
  }

  /** Ends it at once, with a reset to both. */
  reset(): void {
    if (this.#phase === Phase.Dialling) this.#failDial();
    else this.#close(true);
  }

  onReady(end: End, events: number): void {
    if (this.#phase === Phase.Over) return;
    if (this.#phase === Phase.Dialling) {
      if (events & (EPOLLERR | EPOLLHUP) && !this.#wasTaken()) return this.#failDial(this.#dialError);
      if (!(events & EPOLLOUT)) return;
      this.#open();
    }
    if (this.#phase === Phase.Broken && events & EPOLLERR) return this.#fail(end);
    if (events & EPOLLPRI) end.needsCare = true;
    if (events & ending) end.isEnding = true;
    if (events & EPOLLOUT && end.isBlocked) this.#unblock(end);
    if (events & (EPOLLIN | EPOLLPRI | ending)) this.#take(end);
    // After its end a reset shows in no receive, only here.
    if (events & EPOLLERR && end.ended) this.#fail(end);
  }

  /**
   * Looks at time limits; called now and then.
   * @param now ms, of the clock {@link dial} was given
   */
  review(now: number): void {
    if (this.#phase === Phase.Dialling) {
      if (now - this.#since! >= this.owner.connectTimeoutMs) this.#failDial(ETIMEDOUT);
      return;
    }
    if (!this.#isProbed) this.#probe(); // only here, as most connections do not live long enough to need it
    if (this.#phase === Phase.Broken || (!this.client.ended && !this.container.ended)) return;
    const received = this.client.received + this.container.received;
    if (this.#since === undefined || received !== this.#receivedThen) {
      this.#since = now;
      this.#receivedThen = received;
    } else if (now - this.#since >= this.owner.halfClosedIdleMs) this.reset();
  }

  /** Has the kernel ask a silent container whether it is there. The client's socket has inherited this from its listener. */
  #probe(): void {
    this.#isProbed = true;
    setKeepalive(this.container.fd, keepalive);
  }

  /** The container may have accepted the connection, sent something, and reset it, all before we looked. */
  #wasTaken(): boolean {
    const error = (this.#dialError = socketError(this.container.fd));
    return error === 0 || error === ECONNRESET || error === EPIPE;
  }

  #open(): void {
    this.#phase = Phase.Open;
    this.#since = undefined;
    this.client.token = this.owner.poller.add(this.client.fd, watched, this.client);
  }

  /** An end takes bytes again. */
  #unblock(end: End): void {
    if (end.unsent !== undefined) {
      const flushed = flush(end);
      if (flushed === Moved.Waits) return;
      if (flushed === Moved.CannotSend) return this.#cannotSend(end);
    }
    if (this.#phase === Phase.Broken) return this.#settleBroken();
    this.#take(end.peer);
  }

  /** Moves what an end has sent. */
  #take(from: End): void {
    if (this.#phase !== Phase.Open || from.peer.shut) return;
    switch (this.#bulk ? splice(from, this.owner.pipes) : copy(from)) {
      case Moved.Waits:
        break;
      case Moved.MayGoOn:
        this.#goOnSoon();
        break;
      case Moved.Ended:
        if (from.isLost) return; // once its error was told, a reset reads like an end
        return this.#passEnd(from);
      case Moved.CannotSend:
        return this.#cannotSend(from.peer);
      case Moved.CannotReceive:
        return this.#fail(from);
    }
    if (from.received > this.#offeredAfter && this.isDetachable) this.#offer(from.received);
  }

  /** While somebody who would take it is being started it is copied on: what is in a pipe cannot be handed over. */
  #offer(received: number): void {
    this.#offeredAfter = received + this.owner.bulkAfter;
    this.#bulk ||= this.owner.onBulk(this) === "no";
  }

  /** After the others of this round had their turn. */
  #goOnSoon(): void {
    if (this.#again) return;
    this.#again = true;
    this.owner.poller.defer(() => {
      this.#again = false;
      if (this.#phase !== Phase.Open) return;
      this.#take(this.client);
      if (!this.isOver) this.#take(this.container);
    });
  }

  #passEnd(from: End): void {
    const to = from.peer;
    if (to.shut) return;
    if (to.ended && from.shut) return this.#close(false);
    to.shut = true;
    shutdownSocket(to.fd, SHUT_WR);
  }

  /** An end takes nothing any more; what it sent before that still counts. */
  #cannotSend(to: End): void {
    to.isLost = to.isEnding = true;
    to.unsent = undefined;
    to.isUnsentUrgent = false;
    this.#dropPipe(to);
    if (!to.ended && this.#phase === Phase.Open) this.#take(to);
    if (!this.isOver) this.#fail(to);
  }

  /** An end is lost. What it sent is delivered, then the other is reset: what was cut off must not look complete. */
  #fail(end: End): void {
    if (this.#phase === Phase.Over) return;
    this.#phase = Phase.Broken;
    end.ended = true;
    end.isLost = true;
    end.unsent = undefined;
    this.#dropPipe(end);
    this.#settleBroken();
  }

  #settleBroken(): void {
    for (const end of [this.client, this.container]) {
      if (end.unsent !== undefined || end.piped === 0) continue;
      if (splice(end.peer, this.owner.pipes) === Moved.CannotSend) {
        end.isLost = true;
        this.#dropPipe(end);
      }
    }
    const left = this.#untaken();
    if (left === 0) return this.#close(true);
    const { timers: timers } = this.owner;
    this.#look ??= this.#lookWhile(left, timers.now(), lastWords.lookFirst);
  }

  /** Nothing tells when the last byte was acknowledged, and a reset before that may lose it. */
  #lookWhile(left: number, since: number, delay: number): Timer {
    const { timers: timers } = this.owner;
    return timers.schedule(delay, () => {
      const [now, leftNow] = [timers.now(), this.#untaken()];
      const hasMoved = leftNow < left;
      if (leftNow === 0 || (!hasMoved && now - since >= lastWords.patience)) return this.#close(true);
      this.#look = this.#lookWhile(leftNow, hasMoved ? now : since, Math.min(2 * delay, lastWords.lookAtMost));
    });
  }

  /** Bytes that an end which is still there has not taken. */
  #untaken(): number {
    let bytes = 0;
    for (const end of [this.client, this.container])
      if (!end.isLost) bytes += (end.unsent?.length ?? 0) + end.piped + unacknowledged(end.fd);
    return bytes;
  }

  #dropPipe(end: End): void {
    if (end.pipe) this.owner.pipes.give(end.pipe, end.piped === 0);
    end.pipe = undefined;
    end.piped = 0;
  }

  #failDial(errno?: number): void {
    this.#close(true);
    this.owner.onFailedDial(this, errno);
  }

  /** @param abruptly with a reset, so that what was cut off does not look complete; what is unsent is lost */
  #close(abruptly: boolean): void {
    if (this.#phase === Phase.Over) return;
    this.#phase = Phase.Over;
    this.#look?.cancel();
    for (const end of [this.client, this.container]) {
      this.#dropPipe(end);
      if (end.token >= 0) this.owner.poller.release(end.token);
      if (!abruptly && this.#resetsOnClose) setReset(end.fd, false);
      if (abruptly) resetAndClose(end.fd);
      else closeDescriptor(end.fd);
    }
    this.owner.onEnd(this);
  }
}
