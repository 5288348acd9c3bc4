import type { Poller } from "../../linux/poller.js";
import type { Upstream } from "../protocol.js";
import { TimeBudget } from "./time-budget.js";
import { UdpChannel, type Exchange, type ExchangeOutcome } from "./udp-channel.js";

/** Where more sockets come from: made here at once (host namespace), or asked of the daemon, which adds them later. */
export interface SocketSupply {
  /** @returns a socket, or undefined when it will come through `add` */
  more(): number | undefined;
}

interface Request {
  readonly upstream: Upstream;
  readonly query: Buffer;
  readonly questionEnd: number;
  readonly done: (outcome: ExchangeOutcome) => void;
  exchange: Exchange | undefined;
  cancelled: boolean;
}

const sharedAtMost = 256;
const queuedAtMost = 1024;

/**
 * UDP sockets of one namespace to ask upstreams from. A question gets a socket, and so a random source port, of its
 * own while there are enough of them; beyond that, questions to one upstream share sockets under random ids.
 */
export class UdpPool {
  readonly #channels: UdpChannel[] = [];
  readonly #idle: UdpChannel[] = [];
  readonly #queue: Request[] = [];
  /** Sockets with questions under way, by the server they are connected to. */
  readonly #busy = new Map<string, number>();
  readonly #turn: TimeBudget;

  constructor(
    private readonly poller: Poller,
    private readonly supply: SocketSupply,
    private readonly socketsAtMost: number,
  ) {
    this.#turn = new TimeBudget(poller);
  }

  /** Takes over a fresh socket. */
  add(fd: number): void {
    const channel: UdpChannel = new UdpChannel(this.poller, fd, () => this.#onIdle(channel), this.#turn);
    this.#channels.push(channel);
    this.#onIdle(channel);
  }

  ask(upstream: Upstream, query: Buffer, questionEnd: number, done: (outcome: ExchangeOutcome) => void): Exchange {
    const request: Request = { upstream, query, questionEnd, done, exchange: undefined, cancelled: false };
    if (!this.#start(request)) this.#enqueue(request);
    return {
      cancel: () => {
        request.cancelled = true;
        request.exchange?.cancel();
      },
    };
  }

  /** Closes every socket; questions under way end as failed. */
  close(): void {
    for (const request of this.#queue.splice(0))
      if (!request.cancelled) request.done({ kind: "failed", reason: "closed", unasked: true });
    this.#idle.length = 0;
    for (const channel of this.#channels.splice(0)) channel.close();
  }

  #start(request: Request): boolean {
    const peer = peerOf(request.upstream);
    const shared = this.#mayHaveOwn(peer) ? undefined : this.#sharable(peer);
    const idle = shared ? undefined : this.#takeIdle();
    if (idle) {
      try {
        idle.connect(request.upstream);
        this.#busy.set(peer, (this.#busy.get(peer) ?? 0) + 1);
      } catch (error) {
        this.#idle.push(idle);
        this.poller.defer(
          () => request.cancelled || request.done({ kind: "failed", reason: (error as Error).message }),
        );
        return true;
      }
    }
    const channel = shared ?? idle ?? this.#sharable(peer);
    if (!channel) return false;
    request.exchange = channel.ask(request.query, request.questionEnd, request.done);
    return true;
  }

  #takeIdle(): UdpChannel | undefined {
    const idle = this.#idle.pop();
    if (idle) return idle;
    if (this.#channels.length >= this.socketsAtMost) return undefined;
    const fd = this.supply.more();
    if (fd === undefined) return undefined;
    this.add(fd);
    return this.#idle.pop();
  }

  /**
   * Whether a question to this server gets a socket of its own: while the server has no more of them than are left for
   * others, so that questions to a slow server do not keep those to another one waiting.
   */
  #mayHaveOwn(peer: string): boolean {
    const inUse = this.#channels.length - this.#idle.length;
    return (this.#busy.get(peer) ?? 0) <= this.socketsAtMost - inUse;
  }

  #sharable(peer: string): UdpChannel | undefined {
    let best: UdpChannel | undefined;
    for (const channel of this.#channels)
      if (channel.peer === peer && channel.busy > 0 && channel.busy < (best?.busy ?? sharedAtMost)) best = channel;
    return best;
  }

  #forget(peer: string | undefined): void {
    const busy = peer === undefined ? 0 : (this.#busy.get(peer) ?? 0);
    if (busy > 1) this.#busy.set(peer!, busy - 1);
    else if (peer !== undefined) this.#busy.delete(peer);
  }

  #enqueue(request: Request): void {
    if (this.#queue.length < queuedAtMost) this.#queue.push(request);
    else
      this.poller.defer(
        () =>
          request.cancelled || request.done({ kind: "failed", reason: "too many questions under way", unasked: true }),
      );
  }

  #onIdle(channel: UdpChannel): void {
    if (!this.#channels.includes(channel)) return;
    this.#idle.push(channel);
    this.#forget(channel.peer);
    channel.release();
    while (this.#queue.length > 0) {
      const next = this.#queue[0]!;
      if (!next.cancelled && !this.#start(next)) return;
      this.#queue.shift();
      if (this.#idle.length === 0) return;
    }
  }
}

/** As {@link UdpChannel.peer} has it. */
function peerOf({ ip, port }: Upstream): string {
  return `${ip}#${port}`;
}
