import type { Poller } from "../../linux/poller.js";
import { monotonicNow, type Timer, type TimerWheel } from "../../linux/timer-wheel.js";
import type { ForwardingSockets } from "./forwarding-sockets.js";
import type { NameKey } from "../wire/name.js";
import type { Upstream } from "../protocol.js";
import { RCODE } from "../wire/query.js";
import { isBare, isTruncated, rcodeOf, speaksEdns } from "../wire/reply-check.js";
import {
  storeReply,
  storeTruncated,
  usualSize,
  withoutEdns,
  withSize,
  type StoredReply,
} from "../wire/stored-reply.js";
import { askOverTcp } from "./tcp-exchange.js";
import type { Exchange, ExchangeOutcome } from "./udp-channel.js";
import type { UpstreamHealth } from "./upstreams.js";

/** A server that has said nothing for this part of its patience is asked in another way, too: without EDNS, or not over TCP. */
const otherWayAfter = 1 / 3;

export interface AttemptTools {
  readonly poller: Poller;
  readonly timers: TimerWheel;
  readonly health: UpstreamHealth;
}

/** A question as it is put to upstreams. */
export interface UpstreamQuestion {
  readonly query: Buffer;
  /** Offset just past the question in `query`; behind it there is an OPT record, or nothing. */
  readonly questionEnd: number;
  /** For the servers' health: what the question belongs to. */
  readonly zone: NameKey;
  readonly dnssecOk: boolean;
  /** Largest UDP reply the client takes, bytes. */
  readonly clientSize: number;
  /** The client asks over TCP. Then the server is asked over TCP, as Docker does, and over UDP when that does not work. */
  readonly overTcp: boolean;
}

/** Why there is no answer; `refused`: the server said REFUSED, `failed`: SERVFAIL. */
export type AttemptFailure = { readonly why: "network" | "refused" | "failed"; readonly reason: string };

export type AttemptEnd =
  | { readonly kind: "answer"; readonly stored: StoredReply; readonly transport: "udp" | "tcp" }
  | { readonly kind: "failed"; readonly failure: AttemptFailure };

/** How a query goes out over UDP: with EDNS, without, or with room for a larger reply than is usual. */
type Form = "edns" | "plain" | "large";

/**
 * One question to one upstream, by whichever way leads to an answer: without EDNS where that is refused or ignored, over
 * TCP where the answer is too long, with a larger datagram where TCP does not work, else what was truncated.
 */
export class Attempt {
  readonly #exchanges = new Map<Exchange, Form | "tcp">();
  #timer: Timer | undefined;
  /** Asked without EDNS, and why. */
  #plain: "refused" | "unheard" | "known" | undefined;
  #askedLarge = false;
  #askedTcp = false;
  #truncated: Buffer | undefined;
  #heard = false;
  #over = false;

  /** @param onEnd called once, unless cancelled; never from inside the constructor */
  constructor(
    private readonly tools: AttemptTools,
    readonly upstream: Upstream,
    private readonly question: UpstreamQuestion,
    private readonly sockets: ForwardingSockets,
    private readonly onEnd: (end: AttemptEnd) => void,
  ) {
    const { health, timers } = tools;
    health.asked(upstream);
    if (!this.#hasEdns || this.#edns.isPlain(timers.now())) this.#plain = "known";
    if (question.overTcp) {
      this.#askTcp();
      this.#timer = timers.schedule(health.patience * otherWayAfter, () => this.isSilent && this.#beginUdp());
    } else this.#beginUdp();
  }

  /** Nothing has come from the server yet. */
  get isSilent(): boolean {
    return !this.#over && !this.#heard;
  }

  /** What has come so far, if the whole answer will not. */
  get truncated(): AttemptEnd | undefined {
    return (
      this.#truncated && {
        kind: "answer",
        stored: storeTruncated(this.#truncated, this.question.questionEnd),
        transport: "udp",
      }
    );
  }

  /** Sends once more what may have been lost. */
  resend(): void {
    if (this.isSilent) this.#askUdp(this.#plain ? "plain" : "edns");
  }

  #beginUdp(): void {
    const { health, timers } = this.tools;
    this.#askUdp(this.#plain ? "plain" : "edns");
    if (!this.#plain && !this.#edns.isProven)
      this.#timer = timers.schedule(health.patience * otherWayAfter, () => this.#tryPlain());
  }

  cancel(): void {
    this.#over = true;
    this.#timer?.cancel();
    for (const exchange of this.#exchanges.keys()) exchange.cancel();
    this.#exchanges.clear();
  }

  get #hasEdns(): boolean {
    return this.question.query.length > this.question.questionEnd;
  }

  get #edns() {
    return this.tools.health.edns(this.upstream);
  }

  #tryPlain(): void {
    if (!this.isSilent || this.#plain) return;
    this.#plain = "unheard";
    this.#askUdp("plain");
  }

  #askUdp(form: Form): void {
    const { query, questionEnd, dnssecOk, clientSize } = this.question;
    const message =
      form === "edns"
        ? query
        : form === "plain"
          ? withoutEdns(query, questionEnd)
          : withSize(query, questionEnd, clientSize, dnssecOk);
    const sentAt = monotonicNow();
    const exchange: Exchange = this.sockets.udp.ask(this.upstream, message, questionEnd, (outcome) => {
      this.#exchanges.delete(exchange);
      if (this.#over) return;
      if (outcome.kind === "failed") this.#onUdpFailure(outcome);
      else this.#onUdpReply(form, outcome.reply, monotonicNow() - sentAt);
    });
    this.#exchanges.set(exchange, form);
  }

  #onUdpFailure(outcome: ExchangeOutcome & { kind: "failed" }): void {
    if (this.#exchanges.size > 0) return; // the same, sent in another way, may still be answered
    if (this.#truncated) return this.#end(this.truncated!);
    if (!outcome.unasked) this.tools.health.failed(this.upstream, this.question.zone);
    this.#fail({ why: "network", reason: `${this.upstream.ip}: ${outcome.reason}` });
  }

  /** @param took ms */
  #onUdpReply(form: Form, reply: Buffer, took: number): void {
    this.#hear(took);
    if (form === "plain") this.#learnFromPlain(reply);
    else if (this.#isAboutEdns(reply)) return this.#askPlainInstead();
    else this.#edns.proven();
    if (isTruncated(reply)) return this.#onTruncated(form, reply);
    this.#onWhole(reply, "udp");
  }

  #hear(took: number): void {
    this.#heard = true;
    this.tools.health.answered(this.upstream, took);
  }

  /** An error that the EDNS record alone may have caused. */
  #isAboutEdns(reply: Buffer): boolean {
    const rcode = rcodeOf(reply);
    if (rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP) return true;
    if (rcode !== RCODE.SERVFAIL && rcode !== RCODE.REFUSED) return false;
    return !this.#edns.isProven && !speaksEdns(reply, this.question.questionEnd);
  }

  #askPlainInstead(): void {
    if (this.#plain) return; // asked already
    this.#plain = "refused";
    this.#askUdp("plain");
  }

  #learnFromPlain(reply: Buffer): void {
    const now = this.tools.timers.now();
    if (this.#plain === "refused" && !isError(rcodeOf(reply))) this.#edns.refused(now);
    if (this.#plain === "unheard" && [...this.#exchanges.values()].includes("edns")) this.#edns.ignored(now);
  }

  #onTruncated(form: Form, reply: Buffer): void {
    const isFirst = !this.#truncated;
    this.#truncated = reply;
    if (form === "large") return this.#end(this.truncated!);
    if (!isFirst) return;
    if (!this.#askedTcp) this.#askTcp();
    else if (![...this.#exchanges.values()].includes("tcp")) this.#onNoTcp();
  }

  #askTcp(): void {
    const { poller } = this.tools;
    const { questionEnd, query } = this.question;
    this.#askedTcp = true;
    const message = this.#plain ? withoutEdns(query, questionEnd) : query;
    this.sockets.takeTcp((fd) => {
      if (this.#over) return fd === undefined ? undefined : this.sockets.giveBackTcp(fd);
      if (fd === undefined) return poller.defer(() => this.#over || this.#onNoTcp());
      const giveBack = (used: number) => this.sockets.giveBackTcp(used);
      const sentAt = monotonicNow();
      const exchange: Exchange = askOverTcp(
        poller,
        fd,
        { upstream: this.upstream, query: message, questionEnd },
        giveBack,
        (outcome) => {
          this.#exchanges.delete(exchange);
          if (this.#over) return;
          if (outcome.kind === "reply" && !this.#heard) this.#hear(monotonicNow() - sentAt);
          if (outcome.kind === "failed" || isError(rcodeOf(outcome.reply))) this.#onNoTcp();
          else this.#onWhole(outcome.reply, "tcp");
        },
      );
      this.#exchanges.set(exchange, "tcp");
    });
  }

  /** What was said over UDP is better than nothing; what was not asked over UDP yet is asked there. */
  #onNoTcp(): void {
    if (!this.#truncated) return this.#onTcpFirstFailed();
    if (this.#askedLarge || this.#plain || this.question.clientSize <= usualSize) return this.#end(this.truncated!);
    this.#askedLarge = true;
    this.#askUdp("large");
  }

  #onTcpFirstFailed(): void {
    if (this.#exchanges.size > 0) return; // asked over UDP meanwhile
    this.#timer?.cancel();
    this.#beginUdp();
  }

  #onWhole(reply: Buffer, transport: "udp" | "tcp"): void {
    const rcode = rcodeOf(reply);
    if (rcode === RCODE.REFUSED) return this.#fail({ why: "refused", reason: `${this.upstream.ip} says REFUSED` });
    if (rcode === RCODE.SERVFAIL) return this.#fail({ why: "failed", reason: `${this.upstream.ip} says SERVFAIL` });
    const stored = isBare(reply) ? undefined : storeReply(reply, this.question.questionEnd);
    if (stored) return this.#end({ kind: "answer", stored, transport });
    if (this.#truncated) return this.#end(this.truncated!);
    this.#fail({ why: "network", reason: `${this.upstream.ip}: a malformed reply` });
  }

  #fail(failure: AttemptFailure): void {
    this.#end({ kind: "failed", failure });
  }

  #end(end: AttemptEnd): void {
    this.cancel();
    this.onEnd(end);
  }
}

function isError(rcode: number): boolean {
  return rcode === RCODE.FORMERR || rcode === RCODE.SERVFAIL || rcode === RCODE.NOTIMP || rcode === RCODE.REFUSED;
}
