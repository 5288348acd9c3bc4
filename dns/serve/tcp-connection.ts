import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../../linux/constants.js";
import type { Poller, Watch } from "../../linux/poller.js";
import { closeDescriptor, receiveBytes, sendBytes, WOULD_BLOCK } from "../../linux/socket.js";
import { monotonicNow, type Timer, type TimerWheel } from "../../linux/timer-wheel.js";
import type { QueryLog } from "./query-log.js";
import { QUERY_LIMIT, RCODE, readQuery } from "../wire/query.js";
import { buildRefusal } from "../wire/reply.js";
import type { Resolver } from "../resolve/resolve.js";
import type { ClientConnection, Sandbox } from "../sandbox.js";
import { IDLE_TIME, UNDER_WAY_AT_MOST, UNSENT_PAUSE, type MessageShare, type UnsentReplies } from "./tcp-limits.js";

export interface TcpTools {
  readonly poller: Poller;
  readonly timers: TimerWheel;
  readonly resolver: Resolver;
  readonly log: QueryLog;
}

/** What a connection shares with others. */
export interface Shared {
  readonly sandbox: Sandbox;
  readonly share: MessageShare;
  readonly unsent: UnsentReplies;
  /** Called once, when the connection has been closed, whoever did it. */
  readonly onClosed: (connection: ClientConnection) => void;
}

const scratch = Buffer.from(new ArrayBuffer(16 * 1024));
const nothing = Buffer.alloc(0);

/**
 * One client's connection. Bytes are framed by two bytes of length (RFC 1035 section 4.2.2); queries are pipelined, and
 * answered in whatever order they are ready. A client that has finished sending, or has sent something other than a query, is
 * given the answers to what it asked before, and then closed.
 */
export class TcpConnection implements ClientConnection {
  readonly #watch: Watch;
  #watched = EPOLLIN | EPOLLRDHUP;
  #idle: Timer;
  #incoming: Buffer = nothing;
  #outgoing: Buffer[] = [];
  #unsent = 0;
  #underWay = 0;
  /** Nothing more is read. */
  #clientDone = false;
  /** Queries have come in that are read in the sandbox's next turn. */
  #waitsForTurn = false;
  #open = true;

  constructor(
    private readonly tools: TcpTools,
    private readonly shared: Shared,
    private readonly fd: number,
  ) {
    this.#watch = tools.poller.watch(fd, this.#watched, (events) => this.#onReady(events));
    this.#idle = tools.timers.schedule(IDLE_TIME, () => this.#onIdle());
  }

  get isBusy(): boolean {
    return this.#underWay > 0;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.shared.unsent.total -= this.#unsent;
    this.#outgoing = [];
    this.#idle.cancel();
    this.#watch.close();
    closeDescriptor(this.fd);
    this.shared.onClosed(this);
  }

  get #mayTake(): boolean {
    return (
      this.#open &&
      !this.#clientDone &&
      !this.#waitsForTurn &&
      this.#underWay < UNDER_WAY_AT_MOST &&
      this.#unsent < UNSENT_PAUSE
    );
  }

  #onReady(events: number): void {
    // Reset, or closed in both directions: reported for as long as it is watched, whatever is waited for.
    if (events & (EPOLLERR | EPOLLHUP)) return this.close();
    if (events & EPOLLOUT) {
      this.#flush();
      this.#takeMessages(); // reading may have been paused with whole queries at hand
    }
    if (events & (EPOLLIN | EPOLLRDHUP) && this.#mayTake) this.#receive();
    this.#settle();
  }

  #receive(): void {
    let length: number;
    try {
      length = receiveBytes(this.fd, scratch);
    } catch {
      return this.close(); // reset by the client
    }
    if (length === WOULD_BLOCK) return;
    if (length === 0) {
      this.#clientDone = true;
      return;
    }
    this.#incoming = Buffer.concat([this.#incoming, scratch.subarray(0, length)]);
    this.#takeMessages();
  }

  #takeMessages(): void {
    let at = 0;
    while (this.#mayTake && this.#incoming.length - at >= 2) {
      const length = this.#incoming.readUInt16BE(at);
      if (length > QUERY_LIMIT) {
        this.#clientDone = true;
        break;
      }
      if (this.#incoming.length - at < 2 + length) break;
      if (!this.shared.share.take(() => this.#onTurn())) {
        this.#waitsForTurn = true;
        break;
      }
      this.#touch();
      this.#answer(this.#incoming.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    if (!this.#open || this.#clientDone) this.#incoming = nothing;
    else if (at > 0) this.#incoming = Buffer.from(this.#incoming.subarray(at));
  }

  #onTurn(): void {
    this.#waitsForTurn = false;
    this.#takeMessages();
    this.#settle();
  }

  #answer(message: Buffer): void {
    const { resolver, log } = this.tools;
    const { sandbox } = this.shared;
    sandbox.counters.queries++;
    const query = readQuery(message, 0, message.length);
    if (query.kind === "ignore") {
      this.#clientDone = true; // a reply, or not a DNS message at all
      return;
    }
    if (query.kind === "refusal") {
      sandbox.counters.refused++;
      this.#send(buildRefusal(message, query));
      if (query.rcode === RCODE.FORMERR) this.#clientDone = true;
      return;
    }
    const began = monotonicNow();
    const asked = { sandbox, question: query, message: Buffer.from(message), transport: "tcp", limit: 65535 } as const;
    const decided = resolver.decide(asked);
    if (decided) {
      log.record(sandbox, query, "tcp", decided, began);
      return this.#send(decided.reply);
    }
    this.#underWay++;
    let isInside = true;
    resolver.ask(asked, (resolved) => {
      this.#underWay--;
      log.record(sandbox, query, "tcp", resolved, began);
      if (!this.#open) return;
      this.#send(resolved.reply);
      if (isInside) return; // whoever asked goes on by itself
      this.#takeMessages();
      this.#settle();
    });
    isInside = false;
  }

  #send(reply: Buffer): void {
    const framed = Buffer.allocUnsafe(2 + reply.length);
    framed.writeUInt16BE(reply.length, 0);
    reply.copy(framed, 2);
    this.#outgoing.push(framed);
    this.#count(framed.length);
    if (this.#unsent >= UNSENT_PAUSE) this.#flush();
    if (this.#unsent > this.shared.unsent.limit) this.close();
  }

  #flush(): void {
    while (this.#open && this.#outgoing.length > 0) {
      const next = this.#outgoing.length === 1 ? this.#outgoing[0]! : Buffer.concat(this.#outgoing);
      let sent: number;
      try {
        sent = sendBytes(this.fd, next);
      } catch {
        return this.close(); // the client is gone
      }
      if (sent === WOULD_BLOCK) {
        this.#outgoing = [next];
        return;
      }
      this.#count(-sent);
      this.#outgoing = sent === next.length ? [] : [next.subarray(sent)];
      if (sent === next.length) this.#touch();
    }
  }

  /** Sends what is ready and says what to wait for next, or ends the connection when nothing is left to do. */
  #settle(): void {
    this.#flush();
    if (!this.#open) return;
    if (this.#clientDone && this.#underWay === 0 && this.#outgoing.length === 0) return this.close();
    const wanted = (this.#mayTake ? EPOLLIN | EPOLLRDHUP : 0) | (this.#outgoing.length > 0 ? EPOLLOUT : 0);
    if (wanted !== this.#watched) this.#watch.update(wanted);
    this.#watched = wanted;
  }

  #count(bytes: number): void {
    if (!this.#open) return;
    this.#unsent += bytes;
    this.shared.unsent.total += bytes;
  }

  /** A whole query has come, or all replies are gone: single bytes do not keep a connection open. */
  #touch(): void {
    if (!this.#open) return;
    this.#idle.cancel();
    this.#idle = this.tools.timers.schedule(IDLE_TIME, () => this.#onIdle());
    this.shared.sandbox.used(this);
  }

  #onIdle(): void {
    if (this.#underWay > 0) this.#touch();
    else this.close();
  }
}
