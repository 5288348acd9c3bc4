import type { Poller } from "../src/linux/poller.js";
import { monotonicNow, type Deadline, type DeadlineWheel } from "../src/linux/wheel.js";
import type { Source, Upstream } from "./protocol.js";
import { RCODE } from "./query.js";
import { isTruncated, rcodeOf } from "./reply-check.js";
import type { ForwardingSockets } from "./forwarding-sockets.js";
import { askOverTcp } from "./tcp-exchange.js";
import type { Exchange, ExchangeOutcome } from "./udp-channel.js";
import type { UpstreamHealth } from "./upstreams.js";

/** Milliseconds until a client has an answer or a SERVFAIL, whatever the upstreams do. */
export const FORWARD_TIME = 3800;

export interface ForwardRequest {
  readonly query: Buffer;
  /** Offset just past the question in `query`. */
  readonly questionEnd: number;
  readonly transport: "udp" | "tcp";
  readonly upstreams: readonly Upstream[];
  readonly socketsFor: (upstream: Upstream) => ForwardingSockets;
}

/** The end of a forwarded question. The reply carries another id than the query. */
export type ForwardOutcome =
  | { readonly kind: "reply"; readonly reply: Buffer; readonly source: Source }
  | { readonly kind: "failed"; readonly reason: string };

export interface ForwardTools {
  readonly poller: Poller;
  readonly wheel: DeadlineWheel;
  readonly health: UpstreamHealth;
}

interface Attempt {
  readonly upstream: Upstream;
  readonly startedAt: number;
  exchange: Exchange | undefined;
  over: boolean;
  /** Counted as such: its own time, and then everybody's, may run out. */
  timedOut: boolean;
}

/**
 * One question to a list of upstreams, in their order: the next is asked when the one before fails, says SERVFAIL or
 * REFUSED, or has used up its share of the time; it may still answer after that. TC is followed by TCP.
 */
export class Forward {
  readonly #attempts: Attempt[] = [];
  readonly #deadline: Deadline;
  #patience: Deadline | undefined;
  #lastResort: { reply: Buffer; source: Source } | undefined;
  #lastReason = "no upstream servers";
  #over = false;

  /** @param done called once, unless cancelled; never from inside the constructor */
  constructor(
    private readonly tools: ForwardTools,
    private readonly request: ForwardRequest,
    private readonly done: (outcome: ForwardOutcome) => void,
  ) {
    this.#deadline = tools.wheel.in(FORWARD_TIME, () => this.#onDeadline());
    tools.poller.soon(() => this.#tryNext());
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadline.cancel();
    this.#patience?.cancel();
    for (const attempt of this.#attempts) attempt.exchange?.cancel();
  }

  #tryNext(): void {
    if (this.#over) return;
    this.#patience?.cancel();
    const upstream = this.request.upstreams[this.#attempts.length];
    if (!upstream) {
      if (this.#attempts.every((attempt) => attempt.over)) this.#giveUp();
      return;
    }
    const attempt: Attempt = { upstream, startedAt: monotonicNow(), exchange: undefined, over: false, timedOut: false };
    this.#attempts.push(attempt);
    this.#patience = this.tools.wheel.in(FORWARD_TIME / this.request.upstreams.length, () => {
      this.#timedOut(attempt);
      this.#lastReason = `${upstream.ip} did not answer in time`;
      this.#tryNext();
    });
    this.tools.health.asked(upstream);
    this.#ask(attempt, this.request.transport);
  }

  #ask(attempt: Attempt, transport: "udp" | "tcp"): void {
    const { query, questionEnd, socketsFor } = this.request;
    const sockets = socketsFor(attempt.upstream);
    const onOutcome = (outcome: ExchangeOutcome) => this.#onOutcome(attempt, transport, outcome);
    if (transport === "udp") {
      attempt.exchange = sockets.udp.ask(attempt.upstream, query, questionEnd, onOutcome);
      return;
    }
    sockets.takeTcp((fd) => {
      if (this.#over) return fd === undefined ? undefined : sockets.giveBackTcp(fd);
      if (fd === undefined) return this.tools.poller.soon(() => onOutcome({ kind: "failed", reason: "no TCP socket left" }));
      const giveBack = (used: number) => sockets.giveBackTcp(used);
      attempt.exchange = askOverTcp(this.tools.poller, fd, { upstream: attempt.upstream, query, questionEnd }, giveBack, onOutcome);
    });
  }

  #onOutcome(attempt: Attempt, transport: "udp" | "tcp", outcome: ExchangeOutcome): void {
    if (this.#over || attempt.over) return;
    const { upstream } = attempt;
    if (outcome.kind === "failed") {
      this.tools.health.failed(upstream);
      this.#lastReason = `${upstream.ip}: ${outcome.reason}`;
      return this.#attemptOver(attempt);
    }
    this.tools.health.answered(upstream, monotonicNow() - attempt.startedAt);
    const source: Source = { kind: "upstream", upstream, transport };
    if (transport === "udp" && isTruncated(outcome.reply)) {
      this.#lastResort = { reply: outcome.reply, source };
      return this.#ask(attempt, "tcp");
    }
    const rcode = rcodeOf(outcome.reply);
    if (rcode === RCODE.SERVFAIL || rcode === RCODE.REFUSED) {
      this.#lastResort ??= { reply: outcome.reply, source };
      return this.#attemptOver(attempt);
    }
    this.#finish({ kind: "reply", reply: outcome.reply, source });
  }

  #attemptOver(attempt: Attempt): void {
    attempt.over = true;
    // An earlier attempt may end after a later one was begun; only the newest one's end calls for another.
    if (attempt === this.#attempts.at(-1) || this.#attempts.every(({ over }) => over)) this.#tryNext();
  }

  #onDeadline(): void {
    for (const attempt of this.#attempts) if (!attempt.over) this.#timedOut(attempt);
    this.#giveUp();
  }

  #timedOut(attempt: Attempt): void {
    if (attempt.timedOut) return;
    attempt.timedOut = true;
    this.tools.health.timedOut(attempt.upstream);
  }

  #giveUp(): void {
    if (this.#lastResort) this.#finish({ kind: "reply", ...this.#lastResort });
    else this.#finish({ kind: "failed", reason: this.#lastReason });
  }

  #finish(outcome: ForwardOutcome): void {
    if (this.#over) return;
    this.cancel();
    this.done(outcome);
  }
}
