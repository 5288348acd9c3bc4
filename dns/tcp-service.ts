import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../src/linux/constants.js";
import type { Poller, Watch } from "../src/linux/poller.js";
import { acceptSocket, closeDescriptor, receiveBytes, sendBytes, setNoDelay, WOULD_BLOCK } from "../src/linux/socket.js";
import { monotonicNow, type Deadline, type DeadlineWheel } from "../src/linux/wheel.js";
import type { QueryLog } from "./query-log.js";
import { RCODE, readQuery } from "./query.js";
import { buildRefusal } from "./reply.js";
import type { Resolver } from "./resolve.js";
import type { Sandbox } from "./sandbox.js";

const connectionsAtMost = 128; // of one sandbox
const idleTime = 10_000; // ms without a byte from the client and nothing under way
const queryAtMost = 4096; // bytes
const underWayAtMost = 64; // questions of one connection; reading stops until some are answered
const unsentAtMost = 512 * 1024; // bytes of replies the client does not take; then it is cut off
const acceptedAtOnce = 16;

export interface TcpTools {
  readonly poller: Poller;
  readonly wheel: DeadlineWheel;
  readonly resolver: Resolver;
  readonly log: QueryLog;
}

const scratch = Buffer.from(new ArrayBuffer(16 * 1024));

/** Answers queries over TCP (RFC 7766): pipelined, in whatever order they are ready. */
export class TcpService {
  constructor(private readonly tools: TcpTools) {}

  /** Serves the sandbox's listener from now on. */
  serve(sandbox: Sandbox, fd: number): void {
    const watch = this.tools.poller.watch(fd, EPOLLIN, () => {
      try {
        this.#accept(sandbox, fd);
      } catch {
        // Out of descriptors (or memory): looking away for a moment beats spinning on a listener that stays readable.
        watch.update(0);
        this.tools.wheel.in(100, () => watch.update(EPOLLIN));
      }
    });
    sandbox.watches.push(watch);
  }

  #accept(sandbox: Sandbox, fd: number): void {
    for (let count = 0; count < acceptedAtOnce; count++) {
      const accepted = acceptSocket(fd);
      if (accepted === WOULD_BLOCK) return;
      if (sandbox.connections.size >= connectionsAtMost) {
        closeDescriptor(accepted);
        sandbox.counters.refused++;
        continue;
      }
      sandbox.counters.tcpConnections++;
      sandbox.connections.add(new TcpConnection(this.tools, sandbox, accepted));
    }
  }
}

/** One client's connection. Bytes are framed by two bytes of length (RFC 1035 section 4.2.2). */
class TcpConnection {
  readonly #watch: Watch;
  #idle: Deadline;
  #incoming: Buffer = Buffer.alloc(0);
  #outgoing: Buffer[] = [];
  #unsent = 0;
  #underWay = 0;
  #clientDone = false;
  #open = true;

  constructor(
    private readonly tools: TcpTools,
    private readonly sandbox: Sandbox,
    private readonly fd: number,
  ) {
    setNoDelay(fd);
    this.#watch = tools.poller.watch(fd, EPOLLIN | EPOLLRDHUP, (events) => this.#onReady(events));
    this.#idle = tools.wheel.in(idleTime, () => this.#onIdle());
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#idle.cancel();
    this.#watch.close();
    closeDescriptor(this.fd);
    this.sandbox.connections.delete(this);
  }

  #onReady(events: number): void {
    // Reset, or closed in both directions: reported for as long as it is watched, whatever is waited for.
    if (events & (EPOLLERR | EPOLLHUP)) return this.close();
    try {
      if (events & EPOLLOUT) this.#flush();
      if (this.#open && !this.#clientDone && this.#underWay < underWayAtMost && events & (EPOLLIN | EPOLLRDHUP)) this.#receive();
      this.#settle();
    } catch {
      this.close(); // reset by the client
    }
  }

  #receive(): void {
    const length = receiveBytes(this.fd, scratch);
    if (length === WOULD_BLOCK) return;
    if (length === 0) {
      this.#clientDone = true;
      return;
    }
    this.#touch();
    this.#incoming = Buffer.concat([this.#incoming, scratch.subarray(0, length)]);
    this.#takeMessages();
  }

  #takeMessages(): void {
    let at = 0;
    while (this.#open && this.#underWay < underWayAtMost && this.#incoming.length - at >= 2) {
      const length = this.#incoming.readUInt16BE(at);
      if (length > queryAtMost) return this.close();
      if (this.#incoming.length - at < 2 + length) break;
      this.#answer(this.#incoming.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    this.#incoming = Buffer.from(this.#incoming.subarray(at));
  }

  #answer(message: Buffer): void {
    const { resolver, log } = this.tools;
    const { sandbox } = this;
    sandbox.counters.queries++;
    const query = readQuery(message, 0, message.length);
    if (query.kind === "ignore") return this.close();
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
    resolver.ask(asked, (resolved) => {
      this.#underWay--;
      log.record(sandbox, query, "tcp", resolved, began);
      if (!this.#open) return;
      this.#send(resolved.reply);
      this.#takeMessages();
      this.#settle();
    });
  }

  #send(reply: Buffer): void {
    const framed = Buffer.allocUnsafe(2 + reply.length);
    framed.writeUInt16BE(reply.length, 0);
    reply.copy(framed, 2);
    this.#outgoing.push(framed);
    this.#unsent += framed.length;
    if (this.#outgoing.length === 1) this.#flush();
    if (this.#unsent > unsentAtMost) this.close();
  }

  #flush(): void {
    while (this.#open && this.#outgoing.length > 0) {
      const next = this.#outgoing[0]!;
      let sent: number;
      try {
        sent = sendBytes(this.fd, next);
      } catch {
        return this.close(); // the client is gone
      }
      if (sent === WOULD_BLOCK) return;
      this.#touch();
      this.#unsent -= sent;
      if (sent === next.length) this.#outgoing.shift();
      else this.#outgoing[0] = next.subarray(sent);
    }
  }

  /** Says what to wait for next, or ends the connection when nothing is left to do. */
  #settle(): void {
    if (!this.#open) return;
    if (this.#clientDone && this.#underWay === 0 && this.#outgoing.length === 0) return this.close();
    const reading = !this.#clientDone && this.#underWay < underWayAtMost ? EPOLLIN | EPOLLRDHUP : 0;
    this.#watch.update(reading | (this.#outgoing.length > 0 ? EPOLLOUT : 0));
  }

  #touch(): void {
    this.#idle.cancel();
    this.#idle = this.tools.wheel.in(idleTime, () => this.#onIdle());
  }

  #onIdle(): void {
    if (this.#underWay > 0) this.#touch();
    else this.close();
  }
}
