import type { Poller } from "../src/linux/poller.js";
import { monotonicNow, type Deadline, type DeadlineWheel } from "../src/linux/wheel.js";
import type { Source, Upstream } from "./protocol.js";
import { RCODE } from "./query.js";
import { isTruncated, rcodeOf } from "./reply-check.js";
import type { ForwardingSockets } from "./forwarding-sockets.js";
import { storeReply, type StoredReply } from "./stored-reply.js";
import { askOverTcp } from "./tcp-exchange.js";
import type { Exchange, ExchangeOutcome } from "./udp-channel.js";
import type { UpstreamHealth } from "./upstreams.js";

/** Milliseconds until a client has an answer or a SERVFAIL, whatever the upstreams do. */
export const FORWARD_TIME = 3800;

/** Milliseconds after which a client that asks again has what it waits for sent again. */
const RESEND_AFTER = 500;

export interface ForwardRequest {
  readonly query: Buffer;
  /** Offset just past the question in `query`. */
  readonly questionEnd: number;
  readonly upstreams: readonly Upstream[];
  readonly socketsFor: (upstream: Upstream) => ForwardingSockets;
  /** Milliseconds it may take; {@link FORWARD_TIME} unless less is left. */
  readonly within?: number | undefined;
}

/** Why nobody answered, as an extended error tells it. */
export type Why = "no-upstream" | "timeout" | "network" | "refused";

/** The end of a forwarded question. */
export type ForwardOutcome =
  | { readonly kind: "reply"; readonly stored: StoredReply; readonly source: Source & { kind: "upstream" } }
  | { readonly kind: "failed"; readonly why: Why; readonly reason: string };

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
  /** It has had its time, and the next one is being asked. */
  slow: boolean;
  /** It does not know EDNS, and is asked without. */
  plain: boolean;
}

/**
 * One question to a list of upstreams: the next is asked as soon as the one before is slow, fails, or says SERVFAIL or
 * REFUSED or nonsense; whoever answers first is believed. One that was down is asked beside the first from time to time.
 * TC is followed by TCP. Each is asked once, and again only when the client is, too.
 */
export class Forward {
  readonly #attempts: Attempt[] = [];
  readonly #toAsk: Upstream[];
  readonly #deadline: Deadline;
  #patience: Deadline | undefined;
  #failure: { why: Why; reason: string } = { why: "no-upstream", reason: "no upstream servers" };
  #over = false;
  #sentAt = 0;
  /** Goes on after the end, so that a server that is slower than the others is found to be back, too. */
  #trial: Attempt | undefined;

  /** @param done called once, unless cancelled; never from inside the constructor */
  constructor(
    private readonly tools: ForwardTools,
    private readonly request: ForwardRequest,
    private readonly done: (outcome: ForwardOutcome) => void,
  ) {
    const { order, probe } = tools.health.plan(request.upstreams);
    this.#toAsk = order.filter((upstream) => upstream !== probe);
    this.#deadline = tools.wheel.in(request.within ?? FORWARD_TIME, () => this.#onDeadline());
    tools.poller.soon(() => {
      if (this.#over) return;
      if (probe) this.#trial = this.#begin(probe);
      this.#tryNext();
    });
  }

  cancel(): void {
    this.#over = true;
    this.#deadline.cancel();
    this.#patience?.cancel();
    for (const attempt of this.#attempts) attempt.exchange?.cancel();
  }

  /** Somebody asks the same again: what was sent some time ago may have been lost, so it is sent once more. */
  again(): void {
    const silent = this.#attempts.findLast(({ over }) => !over);
    if (this.#over || !silent || this.tools.wheel.now() - this.#sentAt < RESEND_AFTER) return;
    this.#begin(silent.upstream);
  }

  #tryNext(): void {
    if (this.#over) return;
    this.#patience?.cancel();
    const upstream = this.#toAsk.shift();
    if (!upstream) {
      if (this.#attempts.every((attempt) => attempt.over)) this.#giveUp();
      return;
    }
    const attempt = this.#begin(upstream);
    this.#patience = this.tools.wheel.in(this.tools.health.patienceFor(upstream), () => {
      attempt.slow = true;
      this.#tryNext();
    });
  }

  #begin(upstream: Upstream): Attempt {
    const attempt: Attempt = { upstream, startedAt: monotonicNow(), exchange: undefined, over: false, slow: false, plain: false };
    this.#attempts.push(attempt);
    this.#sentAt = this.tools.wheel.now();
    this.tools.health.asked(upstream);
    this.#ask(attempt, "udp");
    return attempt;
  }

  #ask(attempt: Attempt, transport: "udp" | "tcp"): void {
    const { questionEnd, socketsFor } = this.request;
    const query = attempt.plain ? withoutEdns(this.request.query, questionEnd) : this.request.query;
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
    if (attempt.over) return;
    if (this.#over) return this.#trialOver(attempt, outcome);
    const { upstream } = attempt;
    if (outcome.kind === "failed") {
      // One that has just answered over UDP is there, even though it serves no TCP.
      if (transport === "udp") this.tools.health.failed(upstream);
      return this.#attemptOver(attempt, { why: "network", reason: `${upstream.ip}: ${outcome.reason}` });
    }
    if (transport === "udp") this.tools.health.answered(upstream, monotonicNow() - attempt.startedAt);
    if (transport === "udp" && isTruncated(outcome.reply)) return this.#ask(attempt, "tcp");
    const rcode = rcodeOf(outcome.reply);
    if ((rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP) && !attempt.plain && this.request.query.length > this.request.questionEnd) {
      attempt.plain = true; // RFC 6891 section 7
      return this.#ask(attempt, "udp");
    }
    if (rcode === RCODE.SERVFAIL || rcode === RCODE.REFUSED)
      return this.#attemptOver(attempt, { why: "refused", reason: `${upstream.ip} says ${rcode === RCODE.REFUSED ? "REFUSED" : "SERVFAIL"}` });
    const stored = storeReply(outcome.reply, this.request.questionEnd);
    if (!stored) return this.#attemptOver(attempt, { why: "network", reason: `${upstream.ip}: a malformed reply` });
    for (const other of this.#attempts) if (other.slow && !other.over && other !== attempt) this.tools.health.timedOut(other.upstream);
    this.#finish({ kind: "reply", stored, source: { kind: "upstream", upstream, transport } });
  }

  #attemptOver(attempt: Attempt, failure: { why: Why; reason: string }): void {
    attempt.over = true;
    this.#failure = failure;
    // An earlier attempt may end after a later one was begun; only the newest one's end calls for another.
    if (attempt === this.#attempts.at(-1) || this.#attempts.every(({ over }) => over)) this.#tryNext();
  }

  #trialOver(attempt: Attempt, outcome: ExchangeOutcome): void {
    attempt.over = true;
    this.#deadline.cancel();
    if (outcome.kind === "reply") this.tools.health.answered(attempt.upstream, monotonicNow() - attempt.startedAt);
    else this.tools.health.failed(attempt.upstream);
  }

  #onDeadline(): void {
    if (this.#over) {
      this.tools.health.timedOut(this.#trial!.upstream);
      return this.cancel();
    }
    const silent = [...new Set(this.#attempts.filter(({ over }) => !over).map(({ upstream }) => upstream))];
    for (const upstream of silent) this.tools.health.timedOut(upstream);
    if (silent.length > 0) this.#failure = { why: "timeout", reason: `no answer from ${silent.map(({ ip }) => ip).join(", ")}` };
    this.#giveUp();
  }

  #giveUp(): void {
    this.#finish({ kind: "failed", ...this.#failure });
  }

  #finish(outcome: ForwardOutcome): void {
    if (this.#over) return;
    const trial = this.#trial?.over === false ? this.#trial : undefined;
    if (!trial || outcome.kind === "failed") this.cancel();
    else {
      this.#over = true;
      this.#patience?.cancel();
      for (const attempt of this.#attempts) if (attempt !== trial) attempt.exchange?.cancel();
    }
    this.done(outcome);
  }
}

function withoutEdns(query: Buffer, questionEnd: number): Buffer {
  const plain = Buffer.from(query.subarray(0, questionEnd));
  plain.writeUInt16BE(0, 10);
  return plain;
}
