import { familyOf, type Family } from "../../common/address.js";
import type { AnswerCache, Cached } from "../cache/answer-cache.js";
import { Forward, FORWARD_TIME, type ForwardOutcome, type ForwardTools, type Why } from "../forward/forward.js";
import type { ForwardingSockets, HostSockets } from "../forward/forwarding-sockets.js";
import { likelyZoneOf, type NameKey } from "../wire/name.js";
import type { Source, Upstream } from "../protocol.js";
import { RecentNames } from "../cache/recent-names.js";
import { CLASS } from "../wire/query.js";
import type { Sandbox } from "../sandbox.js";
import { buildQuery, type QueryContent, type StoredReply } from "../wire/stored-reply.js";

/**
 * How long after a failed refresh of a question an expired answer is given at once while it is asked again, ms
 * (the failure recheck timer of RFC 8767 section 5), and how many such questions are remembered.
 */
const failureLasts = 5000;
const failuresAtMost = 1024;
/** TTL of an expired answer, seconds (RFC 8767 section 4). */
export const STALE_TTL = 30;

/** What is asked of the outside world, whoever asks. */
export interface ForwardedQuestion extends QueryContent {
  /** Largest UDP reply the client takes, bytes: asked for where TCP does not work. */
  readonly clientSize: number;
  /** Asked over TCP. */
  readonly overTcp: boolean;
}

export type ForwardedAnswer =
  | {
      readonly kind: "reply";
      readonly stored: StoredReply;
      readonly age: number;
      readonly stale: boolean;
      readonly source: Source;
    }
  | { readonly kind: "failed"; readonly why: Why; readonly reason: string };

interface Waiter {
  readonly sandbox: Sandbox;
  readonly done: (answer: ForwardedAnswer) => void;
}

/** One question under way, and everybody who waits for it. */
interface Flight {
  readonly cacheKey: string;
  readonly question: ForwardedQuestion;
  readonly waiters: Set<Waiter>;
  /** When everybody has an answer or a failure, whoever leads; ms of the timer wheel's clock. */
  readonly until: number;
  /** Whose upstreams and sockets are used; it may leave before the answer comes. */
  leader: Sandbox;
  running: { cancel(): void; again(): void } | undefined;
  /** False when the cache was flushed meanwhile: the answer may be older than that. */
  isKept: boolean;
}

/** Names of the outside world: cached answers first, else one question to the upstreams however many ask. */
export class Forwarder {
  readonly #flights = new Map<string, Flight>();
  /** Questions whose last refresh came to nothing. */
  readonly #failed = new RecentNames(failureLasts, failuresAtMost);

  constructor(
    private readonly tools: ForwardTools,
    private readonly hostSockets: Readonly<Record<Family, HostSockets>>,
    readonly cache: AnswerCache,
  ) {}

  /** A cached answer that is good now: fresh, or all there is since asking anew has just failed. */
  cached(sandbox: Sandbox, question: ForwardedQuestion): (ForwardedAnswer & { kind: "reply" }) | undefined {
    const cacheKey = keyOf(sandbox, question);
    const cached = this.cache.get(cacheKey);
    if (!cached) return undefined;
    if (cached.fresh) return replyOf(cached);
    if (!this.#failed.has(cacheKey, this.tools.timers.now())) return undefined;
    if (sandbox.hasRoom && !this.#flights.has(flightKeyOf(cacheKey, question)))
      this.#start(sandbox, question, cacheKey); // perhaps one is back
    return replyOf(cached);
  }

  /** Forgets what is cached of a name, or everything. @returns how many answers that was */
  forget(name: NameKey | undefined): number {
    this.#failed.clear();
    for (const [flightKey, flight] of this.#flights) {
      if (name !== undefined && flight.question.key !== name) continue;
      flight.isKept = false;
      this.#flights.delete(flightKey); // who asks from now on asks anew
    }
    return this.cache.forget(name === undefined ? undefined : ` ${name}`);
  }

  /** Asks the sandbox's upstreams, or waits for somebody who asks them the same. `done` is called once, not from inside. */
  ask(sandbox: Sandbox, question: ForwardedQuestion, done: (answer: ForwardedAnswer) => void): { cancel(): void } {
    const cacheKey = keyOf(sandbox, question);
    const known = this.#flights.get(flightKeyOf(cacheKey, question));
    known?.running?.again();
    const flight = known ?? this.#start(sandbox, question, cacheKey);
    const waiter = { sandbox, done };
    flight.waiters.add(waiter);
    return { cancel: () => flight.waiters.delete(waiter) };
  }

  #start(leader: Sandbox, question: ForwardedQuestion, cacheKey: string): Flight {
    const flight: Flight = {
      cacheKey,
      question,
      waiters: new Set(),
      until: this.tools.timers.now() + FORWARD_TIME,
      leader,
      running: undefined,
      isKept: true,
    };
    this.#flights.set(flightKeyOf(cacheKey, question), flight);
    this.#run(flight);
    return flight;
  }

  #run(flight: Flight): void {
    const { leader, question } = flight;
    const request = {
      ...buildQuery(question),
      zone: likelyZoneOf(question.key),
      dnssecOk: question.dnssecOk,
      clientSize: question.clientSize,
      overTcp: question.overTcp,
      upstreams: leader.upstreams,
      socketsFor: (upstream: Upstream) => this.#socketsFor(leader, upstream),
      within: flight.until - this.tools.timers.now(),
    };
    let landed = false;
    const onOutcome = (outcome: ForwardOutcome) => {
      landed = true;
      this.#onOutcome(flight, outcome);
    };
    // It counts for as long as it uses the leader's sockets.
    const forward = new Forward(this.tools, request, onOutcome, () => leader.landed(running));
    const running = {
      cancel: () => (landed ? forward.cancel() : this.#leaderLeaves(flight, forward)),
      again: () => forward.again(),
    };
    flight.running = running;
    leader.tookOff(running);
  }

  /** The sandbox whose sockets are used is let go: another that waits takes the question over. */
  #leaderLeaves(flight: Flight, forward: Forward): void {
    forward.cancel();
    if (flight.running) flight.leader.landed(flight.running);
    for (const waiter of flight.waiters) if (waiter.sandbox === flight.leader) flight.waiters.delete(waiter);
    // The upstreams of a sandbox may have changed since it asked: their answer must not be cached as one of the old ones.
    const next = [...flight.waiters].find(({ sandbox }) => keyOf(sandbox, flight.question) === flight.cacheKey);
    if (!next)
      return this.#land(flight, { kind: "failed", why: "network", reason: "the upstream servers have changed" });
    flight.leader = next.sandbox;
    this.#run(flight);
  }

  #onOutcome(flight: Flight, outcome: ForwardOutcome): void {
    const { cacheKey } = flight;
    if (outcome.kind === "reply") {
      this.#failed.delete(cacheKey);
      if (flight.isKept) this.cache.put(cacheKey, outcome.stored, outcome.source, flight.leader.record.id);
      return this.#land(flight, { ...outcome, age: 0, stale: false });
    }
    const cached = this.cache.get(cacheKey);
    if (cached) this.#failed.add(cacheKey, this.tools.timers.now());
    this.#land(flight, cached ? replyOf(cached) : outcome);
  }

  #land(flight: Flight, answer: ForwardedAnswer): void {
    const flightKey = flightKeyOf(flight.cacheKey, flight.question);
    if (this.#flights.get(flightKey) === flight) this.#flights.delete(flightKey);
    for (const waiter of [...flight.waiters]) if (flight.waiters.delete(waiter)) waiter.done(answer); // one may cancel another
  }

  #socketsFor(sandbox: Sandbox, { ip, from }: Upstream): ForwardingSockets {
    return from === "container" ? sandbox.pool.towards(ip) : this.hostSockets[familyOf(ip)].shareOf(sandbox);
  }
}

function replyOf({ stored, source, fresh, age }: Cached): ForwardedAnswer & { kind: "reply" } {
  return { kind: "reply", stored, age, stale: !fresh, source: { ...source, cached: true } };
}

/** A client that asks over TCP does not wait for a question sent over UDP: UDP may be what does not work. */
function flightKeyOf(cacheKey: string, { overTcp }: ForwardedQuestion): string {
  return overTcp ? `tcp ${cacheKey}` : cacheKey;
}

/** Clients with the same upstreams share answers; bits and options that are passed on ask for different ones. */
function keyOf(
  sandbox: Sandbox,
  { key, type, class: dnsClass, flags, dnssecOk, clientSubnet }: ForwardedQuestion,
): string {
  return `${sandbox.upstreamSet} ${type} ${dnsClass === CLASS.IN ? "" : `C${dnsClass} `}${flags}${dnssecOk ? "D" : ""}${clientSubnet} ${key}`;
}
