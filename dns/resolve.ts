import type { DeadlineWheel } from "../src/linux/wheel.js";
import { localhostAnswer } from "./localhost.js";
import type { Outside } from "./outside.js";
import type { Gap } from "./protocol.js";
import { RCODE } from "./query.js";
import { bridged, failure, foundUnderSuffix, isSearched, isSingleLabel, isSingleLabelAddress, localReply, notUnderSuffix, outsideQuestion, policy, rendered, singleLabelPolicy, tellsMore, type Asked, type Resolved } from "./resolved.js";
import type { Sandbox } from "./sandbox.js";
import { searchKept, searchSuffixes, type Searched } from "./search.js";
import type { ExchangeOutcome } from "./udp-channel.js";

/** Milliseconds Docker's resolver is given in a gap before a negative answer of others counts. */
const BRIDGE_TIME = 100;
/**
 * The same while a container joins, or for a name that one brought a moment ago: dockerd holds its locks then, at times for as long as its disk takes to write, and
 * answers as soon as the join is done. Short enough that the client still has its answer within four seconds.
 */
const JOIN_TIME = 3000;
/** Milliseconds a ready reply with counted-down TTLs may be given out again as it is. */
const REPLY_LASTS = 1000;

/** Answers questions: from the table, by policy, from what is kept, from outside, and in a gap from Docker's resolver. */
export class Resolver {
  gap: Gap = { everywhere: true, networks: [] };

  constructor(
    private readonly wheel: DeadlineWheel,
    private readonly outside: Outside,
  ) {}

  /** The question's end without asking anybody; undefined when others must be asked. */
  decide(asked: Asked): Resolved | undefined {
    const decided = this.#decideLocally(asked) ?? (this.#mayAskDocker(asked) ? undefined : (this.#decideByPolicy(asked) ?? this.#decideFromKept(asked)));
    if (decided || asked.sandbox.hasRoom) return decided;
    return failure(asked, "no-upstream", "too many questions of this container are under way");
  }

  /** Asks others what could not be decided. `done` is called once, unless the sandbox is let go before. */
  ask(asked: Asked, done: (resolved: Resolved) => void): void {
    const { sandbox } = asked;
    // eslint-disable-next-line prefer-const -- it may be over before it is assigned
    let running: { cancel(): void } | undefined;
    let over = false;
    const finish = (resolved: Resolved) => {
      over = true;
      if (running) sandbox.underWay.delete(running);
      done(resolved);
    };
    running = this.#mayAskDocker(asked) ? this.#race(asked, finish) : this.#askOutside(asked, finish);
    if (!over) sandbox.underWay.add(running);
  }

  #decideLocally(asked: Asked): Resolved | undefined {
    const { sandbox, question } = asked;
    const local = sandbox.view.answer(question.key, question.type) ?? localhostAnswer(question.key, question.type);
    return local && { reply: localReply(asked, local, sandbox.counters.local++), source: local.source, found: local.exists, local };
  }

  #decideByPolicy(asked: Asked): Resolved | undefined {
    const { sandbox } = asked;
    const { forwarding, singleLabels, search } = sandbox.record;
    const isUnsearched = search.length === 0 || forwarding.kind === "never";
    if (singleLabels === "no-data" && isSingleLabelAddress(asked.question) && isUnsearched) return singleLabelPolicy(asked);
    if (singleLabels === "deny" && isSingleLabel(asked.question) && (isUnsearched || !isSingleLabelAddress(asked.question))) return singleLabelPolicy(asked);
    if (forwarding.kind === "never") return policy(asked, { rcode: RCODE.SERVFAIL, reason: "on internal networks only: nothing is forwarded" });
    if (sandbox.upstreams.length > 0) return undefined;
    const isLoop = forwarding.upstreams.length > 0;
    return failure(asked, "no-upstream", isLoop ? "the upstream server is this resolver itself" : "no upstream servers");
  }

  #decideFromKept(asked: Asked): Resolved | undefined {
    if (isSearched(asked)) return this.#decideSearchFromKept(asked);
    return this.#decidePlainFromKept(asked);
  }

  #decideSearchFromKept(asked: Asked): Resolved | undefined {
    const searched = searchKept(this.outside, asked.sandbox, outsideQuestion(asked.question));
    if (!searched) return undefined;
    if (searched.found) {
      asked.sandbox.counters.cached++;
      return { ...foundUnderSuffix(asked, searched.found), lasts: REPLY_LASTS };
    }
    return asked.sandbox.record.singleLabels === "forward" ? this.#decidePlainFromKept(asked) : singleLabelPolicy(asked);
  }

  #decidePlainFromKept(asked: Asked): Resolved | undefined {
    const kept = this.outside.kept(asked.sandbox, outsideQuestion(asked.question));
    if (!kept) return undefined;
    asked.sandbox.counters.cached++;
    const left = kept.stale ? 0 : (kept.stored.lifetime - kept.age) * 1000;
    return { ...rendered(asked, kept), lasts: Math.min(REPLY_LASTS, left) };
  }

  /** Docker's resolver forwards what it does not know, so asking it is forwarding (design: only in gaps). */
  #mayAskDocker(asked: Asked): boolean {
    const { sandbox } = asked;
    if (sandbox.record.forwarding.kind === "never" || !sandbox.bridge) return false;
    return this.#isInGap(sandbox) || this.#isFromGap(asked);
  }

  #isInGap(sandbox: Sandbox): boolean {
    return this.gap.everywhere || sandbox.view.seesSharedNetwork || this.#isJoined(sandbox);
  }

  /**
   * Whether Docker's resolver gave the name in a gap that may have ended before the table held it: it knows a name before
   * the event that tells us, and another container's gap may be what let us ask.
   */
  #isFromGap({ sandbox, question }: Asked): boolean {
    return sandbox.fromGap.has(question.key, this.wheel.now());
  }

  /** Whether a container is just joining one of the asker's networks. */
  #isJoined(sandbox: Sandbox): boolean {
    return this.gap.networks.some((network) => sandbox.isOn(network));
  }

  #askOutside(asked: Asked, done: (resolved: Resolved) => void): { cancel(): void } {
    if (isSearched(asked)) return this.#search(asked, done);
    return this.#askUpstreams(asked, done);
  }

  #askUpstreams(asked: Asked, done: (resolved: Resolved) => void): { cancel(): void } {
    asked.sandbox.counters.forwarded++;
    return this.outside.ask(asked.sandbox, outsideQuestion(asked.question), (answer) => done(rendered(asked, answer)));
  }

  /** The suffixes and, where it may be forwarded, the label itself at once; the suffixes come first. */
  #search(asked: Asked, done: (resolved: Resolved) => void): { cancel(): void } {
    const { sandbox, question } = asked;
    const running: { cancel(): void }[] = [];
    let searched: Searched | undefined;
    let plain = sandbox.record.singleLabels === "forward" ? this.#decidePlainFromKept(asked) : singleLabelPolicy(asked);
    let over = false;
    const cancel = () => {
      over = true;
      for (const each of running) each.cancel();
    };
    const settle = () => {
      if (over || !searched) return;
      const resolved = searched.found ? foundUnderSuffix(asked, searched.found) : plain && notUnderSuffix(asked, searched, plain);
      if (!resolved) return;
      cancel();
      done(resolved);
    };
    running.push(
      searchSuffixes(this.outside, sandbox, outsideQuestion(question), (outcome) => {
        searched = outcome;
        settle();
      }),
    );
    if (!over && !plain)
      running.push(
        this.#askUpstreams(asked, (resolved) => {
          plain = resolved;
          settle();
        }),
      );
    return { cancel };
  }

  /**
   * Docker's resolver and the upstreams at once. An answer with records wins; a negative one of the upstreams waits
   * until Docker has had its time: the name may be one that the table does not hold yet.
   */
  #race(asked: Asked, done: (resolved: Resolved) => void): { cancel(): void } {
    const { sandbox, message, question } = asked;
    const byPolicy = this.#decideByPolicy(asked);
    let dockerIsDone = false;
    let dockers: Resolved | undefined;
    let other: Resolved | undefined = byPolicy;
    let over = false;
    sandbox.counters.bridged++;
    const finish = (resolved: Resolved) => {
      if (over) return;
      cancel();
      done(resolved);
    };
    const settle = () => {
      if (!other || !(dockerIsDone || other.found)) return;
      if (other.found) return finish(other);
      // The table may have learnt the name while others were asked.
      finish(this.#decideLocally(asked) ?? (dockers && tellsMore(dockers, other) ? dockers : other));
    };
    const onDocker = (outcome: ExchangeOutcome | undefined) => {
      if (over) return;
      dockerIsDone = true;
      dockers = outcome?.kind === "reply" ? bridged(asked, outcome.reply) : undefined;
      if (!dockers?.found) return settle();
      // Not when it was asked only because it is remembered: that would never end.
      if (this.#isInGap(sandbox)) sandbox.fromGap.add(question.key, this.wheel.now());
      finish(dockers);
    };
    const docker = sandbox.bridge?.ask(message, question.end, onDocker);
    const isJoining = this.#isJoined(sandbox) || this.#isFromGap(asked);
    const patience = this.wheel.in(isJoining ? JOIN_TIME : BRIDGE_TIME, () => onDocker(undefined));
    let running: { cancel(): void } | undefined;
    const cancel = () => {
      over = true;
      docker?.cancel();
      patience.cancel();
      running?.cancel();
    };
    const kept = byPolicy ?? this.#decideFromKept(asked);
    if (kept) {
      other = kept;
      if (kept.found) this.wheel.in(0, settle);
    } else {
      running = this.#askOutside(asked, (resolved) => {
        other = resolved;
        settle();
      });
    }
    return { cancel };
  }
}
