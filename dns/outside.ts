import type { Deadline } from "../src/linux/wheel.js";
import type { AnswerCache, Cached } from "./answer-cache.js";
import { Forward, FORWARD_TIME, type ForwardOutcome, type ForwardTools, type Why } from "./forward.js";
import { familyOf, type Family, type ForwardingSockets, type HostSockets } from "./forwarding-sockets.js";
import type { NameKey } from "./name.js";
import type { Source, Upstream } from "./protocol.js";
import type { Sandbox } from "./sandbox.js";
import { buildQuery, type StoredReply } from "./stored-reply.js";

/** How long a client waits for fresh news of a name that an expired answer is known for, ms (RFC 8767 section 5). */
const STALE_AFTER = 1800;
/** TTL of an expired answer, seconds (RFC 8767 section 4). */
export const STALE_TTL = 30;

/** What is asked of the outside world, whoever asks. */
export interface OutsideQuestion {
  readonly key: NameKey;
  readonly type: number;
  readonly checkingDisabled: boolean;
  readonly dnssecOk: boolean;
}

export type OutsideAnswer =
  | { readonly kind: "reply"; readonly stored: StoredReply; readonly age: number; readonly stale: boolean; readonly source: Source }
  | { readonly kind: "failed"; readonly why: Why; readonly reason: string };

interface Waiter {
  readonly sandbox: Sandbox;
  readonly done: (answer: OutsideAnswer) => void;
}

/** One question under way, and everybody who waits for it. */
interface Flight {
  readonly cacheKey: string;
  readonly question: OutsideQuestion;
  readonly waiters: Set<Waiter>;
  /** When everybody has an answer or a failure, ms of the wheel's clock, whoever leads. */
  readonly until: number;
  /** Whose upstreams and sockets are used; it may leave before the answer comes. */
  leader: Sandbox;
  running: { cancel(): void; again(): void } | undefined;
  stale: Deadline | undefined;
}

/** Names of the outside world: kept answers first, else one question to the upstreams however many ask. */
export class Outside {
  readonly #flights = new Map<string, Flight>();

  constructor(
    private readonly tools: ForwardTools,
    private readonly hostSockets: Readonly<Record<Family, HostSockets>>,
    readonly cache: AnswerCache,
  ) {}

  /** A kept answer that is good now: fresh, or all there is while every upstream is down. */
  kept(sandbox: Sandbox, question: OutsideQuestion): (OutsideAnswer & { kind: "reply" }) | undefined {
    const cacheKey = keyOf(sandbox, question);
    const cached = this.cache.get(cacheKey);
    if (!cached) return undefined;
    if (cached.fresh) return replyOf(cached);
    if (!this.tools.health.allDown(sandbox.upstreams)) return undefined;
    if (sandbox.hasRoom && !this.#flights.has(cacheKey)) this.#start(sandbox, question, cacheKey); // perhaps one is back
    return replyOf(cached);
  }

  /** Asks the sandbox's upstreams, or waits for somebody who asks them the same. `done` is called once, not from inside. */
  ask(sandbox: Sandbox, question: OutsideQuestion, done: (answer: OutsideAnswer) => void): { cancel(): void } {
    const cacheKey = keyOf(sandbox, question);
    const known = this.#flights.get(cacheKey);
    known?.running?.again();
    const flight = known ?? this.#start(sandbox, question, cacheKey);
    const waiter = { sandbox, done };
    flight.waiters.add(waiter);
    const cached = this.cache.get(cacheKey);
    if (cached) flight.stale ??= this.tools.wheel.in(STALE_AFTER, () => this.#land(flight, replyOf(cached), false));
    return { cancel: () => flight.waiters.delete(waiter) };
  }

  #start(leader: Sandbox, question: OutsideQuestion, cacheKey: string): Flight {
    const flight: Flight = { cacheKey, question, waiters: new Set(), until: this.tools.wheel.now() + FORWARD_TIME, leader, running: undefined, stale: undefined };
    this.#flights.set(cacheKey, flight);
    this.#run(flight);
    return flight;
  }

  #run(flight: Flight): void {
    const { leader, question } = flight;
    const { query, questionEnd } = buildQuery(question.key, question.type, question);
    const socketsFor = (upstream: Upstream) => this.#socketsFor(leader, upstream);
    const request = { query, questionEnd, upstreams: leader.upstreams, socketsFor, within: flight.until - this.tools.wheel.now() };
    const forward = new Forward(this.tools, request, (outcome) => {
      leader.flights.delete(running);
      this.#onOutcome(flight, outcome);
    });
    const running = { cancel: () => this.#leaderLeaves(flight, forward), again: () => forward.again() };
    flight.running = running;
    leader.flights.add(running);
  }

  /** The sandbox whose sockets are used is let go: another that waits takes the question over. */
  #leaderLeaves(flight: Flight, forward: Forward): void {
    forward.cancel();
    if (flight.running) flight.leader.flights.delete(flight.running);
    for (const waiter of flight.waiters) if (waiter.sandbox === flight.leader) flight.waiters.delete(waiter);
    // One whose upstreams have changed since it asked must not put their answer among those of the old ones.
    const next = [...flight.waiters].find(({ sandbox }) => keyOf(sandbox, flight.question) === flight.cacheKey);
    if (!next) return this.#land(flight, { kind: "failed", why: "network", reason: "the upstream servers have changed" }, true);
    flight.leader = next.sandbox;
    this.#run(flight);
  }

  #onOutcome(flight: Flight, outcome: ForwardOutcome): void {
    if (outcome.kind === "reply") {
      this.cache.put(flight.cacheKey, outcome.stored, outcome.source, flight.leader.record.id);
      return this.#land(flight, { ...outcome, age: 0, stale: false }, true);
    }
    const cached = this.cache.get(flight.cacheKey);
    this.#land(flight, cached ? replyOf(cached) : outcome, true);
  }

  /** @param over false when an expired answer is given while the question is still under way */
  #land(flight: Flight, answer: OutsideAnswer, over: boolean): void {
    if (over) this.#remove(flight);
    for (const waiter of [...flight.waiters]) if (flight.waiters.delete(waiter)) waiter.done(answer); // one may cancel another
  }

  #remove(flight: Flight): void {
    flight.stale?.cancel();
    if (this.#flights.get(flight.cacheKey) === flight) this.#flights.delete(flight.cacheKey);
  }

  #socketsFor(sandbox: Sandbox, { ip, from }: Upstream): ForwardingSockets {
    return from === "container" ? sandbox.pool.towards(ip) : this.hostSockets[familyOf(ip)].shareOf(sandbox);
  }
}

function replyOf({ stored, source, fresh, age }: Cached): OutsideAnswer & { kind: "reply" } {
  return { kind: "reply", stored, age, stale: !fresh, source: { ...source, cached: true } };
}

/** Askers with the same upstreams share answers; the DNSSEC bits ask for different ones. */
function keyOf(sandbox: Sandbox, { key, type, checkingDisabled, dnssecOk }: OutsideQuestion): string {
  return `${sandbox.upstreamSet} ${type} ${Number(checkingDisabled)}${Number(dnssecOk)} ${key}`;
}
