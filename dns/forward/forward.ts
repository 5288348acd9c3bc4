import type { Timer } from "../../linux/timer-wheel.js";
import { Attempt, type AttemptEnd, type AttemptFailure, type AttemptTools, type UpstreamQuestion } from "./attempt.js";
import type { ForwardingSockets } from "./forwarding-sockets.js";
import type { Source, Upstream } from "../protocol.js";
import type { StoredReply } from "../wire/stored-reply.js";

/** Milliseconds until a client has an answer or a SERVFAIL, whatever the upstreams do. */
export const FORWARD_TIME = 3800;

/** Milliseconds after which a client that asks again has what it waits for sent again. */
const RESEND_AFTER = 500;
/** When a server has been silent for this part of its patience, the next one is asked as well, so that its answer is there in time. */
const EARLY = 1 / 2;
/** Seconds an answer is kept that was given past a server with precedence, which may be back at any moment. */
const PROVISIONAL_LIFETIME = 5;

export interface ForwardRequest extends UpstreamQuestion {
  readonly upstreams: readonly Upstream[];
  readonly socketsFor: (upstream: Upstream) => ForwardingSockets;
  /** Milliseconds it may take; {@link FORWARD_TIME} unless less is left. */
  readonly within?: number | undefined;
}

/** Why nobody answered, as an extended error tells it; `refused` if all said REFUSED. */
export type Why = "no-upstream" | "timeout" | AttemptFailure["why"];

/** The end of a forwarded question. */
export type ForwardOutcome =
  | { readonly kind: "reply"; readonly stored: StoredReply; readonly source: Source & { kind: "upstream" } }
  | { readonly kind: "failed"; readonly why: Why; readonly reason: string };

export type ForwardTools = AttemptTools;

/** Where one upstream of the list stands with this question. */
interface Standing {
  readonly upstream: Upstream;
  attempt: Attempt | undefined;
  end: AttemptEnd | undefined;
  /** Not waited for any more: it is down, or was silent for its patience. What it says still counts until the end. */
  passed: boolean;
}

/**
 * One question to a list of upstreams. Their order is policy: the answer of a later one counts only when every earlier one
 * has failed (unreachable, SERVFAIL, REFUSED, nonsense), was silent for the patience, or is known to be down. Each is asked
 * once, and again only when the client is, too.
 */
export class Forward {
  readonly #standings: readonly Standing[];
  readonly #deadline: Timer;
  readonly #timers = new Set<Timer>();
  /** Those that are only listened to, after the end. */
  readonly #late = new Set<Standing>();
  #over = false;
  #quiet = false;
  #sentAt = 0;

  /**
   * @param done called once, unless cancelled; never from inside the constructor
   * @param onQuiet called once when nothing is under way any more: after `done`, or cancelling. A server that was passed by
   *   is still listened to for a while: whoever is slow is not down
   */
  constructor(
    private readonly tools: ForwardTools,
    private readonly request: ForwardRequest,
    private readonly done: (outcome: ForwardOutcome) => void,
    private readonly onQuiet: () => void = () => undefined,
  ) {
    const { down, probe } = tools.health.plan(request.upstreams);
    this.#standings = request.upstreams.map((upstream) => ({
      upstream,
      attempt: undefined,
      end: undefined,
      passed: down.has(upstream),
    }));
    this.#deadline = tools.timers.schedule(request.within ?? FORWARD_TIME, () => this.#onDeadline());
    tools.poller.defer(() => {
      if (this.#over) return;
      const probed = this.#standings.find(({ upstream }) => upstream === probe);
      if (probed) this.#begin(probed);
      this.#advance();
    });
  }

  cancel(): void {
    this.#stopWaiting();
    for (const { attempt } of this.#standings) attempt?.cancel();
    this.#quieten();
  }

  /** Somebody asks the same again: what was sent some time ago may have been lost, so it is sent once more. */
  again(): void {
    const silent = this.#standings.findLast(({ attempt }) => attempt?.isSilent);
    if (this.#over || !silent || this.tools.timers.now() - this.#sentAt < RESEND_AFTER) return;
    this.#sentAt = this.tools.timers.now();
    silent.attempt!.resend();
  }

  /** Finds the server to wait for, in the order of the list. */
  #advance(): void {
    if (this.#over) return;
    for (const standing of this.#standings) {
      if (standing.end?.kind === "answer") return this.#answer(standing, standing.end);
      if (standing.end || standing.passed) continue;
      if (!standing.attempt) this.#await(standing);
      return;
    }
    const unasked = this.#standings.find(({ attempt }) => !attempt);
    if (unasked) return this.#await(unasked); // down, but there is nobody else
    if (this.#standings.every(({ end }) => end)) this.#giveUp();
  }

  #await(standing: Standing): void {
    const { timers, health } = this.tools;
    standing.passed = false;
    this.#begin(standing);
    this.#timers.add(timers.schedule(health.patience * EARLY, () => this.#askNextEarly(standing)));
    this.#timers.add(timers.schedule(health.patience, () => this.#passBy(standing)));
  }

  #askNextEarly(standing: Standing): void {
    if (standing.end) return;
    const next =
      this.#standings.find(({ attempt, passed }) => !attempt && !passed) ??
      this.#standings.find(({ attempt }) => !attempt);
    if (next) this.#await(next);
  }

  #begin(standing: Standing): void {
    this.#sentAt = this.tools.timers.now();
    const { upstream } = standing;
    standing.attempt = new Attempt(this.tools, upstream, this.request, this.request.socketsFor(upstream), (end) => {
      standing.end = end;
      if (!this.#over) this.#advance();
      else if (this.#late.delete(standing) && this.#late.size === 0) this.#quieten();
    });
  }

  #passBy(standing: Standing): void {
    if (standing.end) return;
    standing.end = standing.attempt?.truncated;
    standing.passed = true;
    this.#advance();
  }

  #answer(standing: Standing, { stored, transport }: AttemptEnd & { kind: "answer" }): void {
    const earlier = this.#standings.slice(0, this.#standings.indexOf(standing));
    const isProvisional = !earlier.every(({ end }) => end?.kind === "failed" && end.failure.why === "refused");
    const kept = isProvisional
      ? { ...stored, lifetime: Math.min(stored.lifetime, PROVISIONAL_LIFETIME), isProvisional }
      : stored;
    this.#finish(
      { kind: "reply", stored: kept, source: { kind: "upstream", upstream: standing.upstream, transport } },
      earlier,
    );
  }

  #onDeadline(): void {
    if (this.#over) {
      this.#countSilence();
      return this.cancel();
    }
    const standing = this.#standings.find(({ attempt, end }) => end?.kind === "answer" || (!end && attempt?.truncated));
    const end = standing?.end ?? standing?.attempt?.truncated;
    if (standing && end?.kind === "answer") return this.#answer(standing, end);
    this.#giveUp(this.#countSilence());
  }

  /** @returns the servers that said nothing. It counts only against those that had enough time. */
  #countSilence(): Upstream[] {
    const silent = this.#standings.filter(({ attempt }) => attempt?.isSilent);
    for (const { upstream, passed } of silent) if (passed) this.tools.health.timedOut(upstream, this.request.zone);
    return silent.map(({ upstream }) => upstream);
  }

  #giveUp(silent: readonly Upstream[] = []): void {
    if (silent.length > 0)
      return this.#finish({
        kind: "failed",
        why: "timeout",
        reason: `no answer from ${silent.map(({ ip }) => ip).join(", ")}`,
      });
    const failures = this.#standings.flatMap(({ end }) => (end?.kind === "failed" ? [end.failure] : []));
    const telling = failures.findLast(({ why }) => why !== "refused") ?? failures.at(-1);
    this.#finish({ kind: "failed", ...(telling ?? { why: "no-upstream", reason: "no upstream servers" }) });
  }

  /** @param listenedTo servers whose late answer still shows that they are not down */
  #finish(outcome: ForwardOutcome, listenedTo: readonly Standing[] = []): void {
    this.#stopWaiting();
    for (const standing of listenedTo) if (standing.attempt && !standing.end) this.#late.add(standing);
    for (const standing of this.#standings) if (!this.#late.has(standing)) standing.attempt?.cancel();
    this.done(outcome);
    if (this.#late.size === 0) this.#quieten();
  }

  #stopWaiting(): void {
    this.#over = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #quieten(): void {
    this.#deadline.cancel();
    if (this.#quiet) return;
    this.#quiet = true;
    this.onQuiet();
  }
}
