import type { TimerWheel } from "../../linux/timer-wheel.js";
import { DockerFirst, type Others } from "./docker-first.js";
import type { LocalAnswer } from "../table/lookup.js";
import type { Forwarder } from "./forwarder.js";
import { Gaps } from "./gaps.js";
import { isLocalhost, lookUp, loopback } from "./local.js";
import type { Gap } from "../protocol.js";
import { RCODE, TYPE } from "../wire/query.js";
import {
  failure,
  foundUnderSuffix,
  isSearched,
  isSingleLabel,
  isSingleLabelAddress,
  localReply,
  forwardedQuestion,
  policy,
  rendered,
  rotatedCached,
  singleLabelPolicy,
  UNKNOWN_SERVICE,
  type Asked,
  type Resolved,
} from "./resolved.js";
import { rcodeOf } from "../wire/reply-check.js";
import { searchCached } from "./search.js";
import { SearchRace } from "./search-race.js";
import type { Running } from "../sandbox.js";

/** Milliseconds a ready reply with counted-down TTLs may be given out again as it is. */
const REPLY_LASTS = 1000;

/** What Docker's resolver knows of containers. It forwards what is asked of other types, name and all. */
const dockersTypes: readonly number[] = [TYPE.A, TYPE.AAAA, TYPE.PTR];

/** Answers questions: from the table, by policy, from the cache, from outside, and in a gap from Docker's resolver. */
export class Resolver {
  readonly #gaps: Gaps;

  constructor(
    private readonly timers: TimerWheel,
    private readonly forwarder: Forwarder,
  ) {
    this.#gaps = new Gaps(timers);
  }

  /** Where the table may be behind Docker. */
  get gap(): Gap {
    return this.#gaps.told;
  }

  set gap(gap: Gap) {
    this.#gaps.told = gap;
  }

  /** Milliseconds Docker's resolver may take; it forwards by itself. */
  set patience(patience: number) {
    this.#gaps.patience = patience;
  }

  /** The question's end without asking anybody; undefined when others must be asked. */
  decide(asked: Asked): Resolved | undefined {
    const decided = this.#decideAlone(asked);
    if (decided) return this.#orLoopback(asked, decided);
    if (asked.sandbox.hasRoom) return undefined;
    const local = lookUp(asked);
    if (local?.exists) return this.#local(asked, local);
    return failure(asked, "no-upstream", "too many questions of this container are under way");
  }

  /** Asks others what could not be decided. `done` is called once, unless the sandbox is let go before. */
  ask(asked: Asked, done: (resolved: Resolved) => void): void {
    const { sandbox } = asked;
    // eslint-disable-next-line prefer-const -- it may be over before it is assigned
    let running: Running | undefined;
    let over = false;
    const finish = (resolved: Resolved) => {
      over = true;
      if (running) sandbox.ended(running);
      done(this.#orLoopback(asked, resolved));
    };
    running = this.#gaps.mayAskDocker(asked) ? this.#askDockerFirst(asked, finish) : this.#goOn(asked, finish);
    if (!over && running) sandbox.began(running);
  }

  #decideAlone(asked: Asked): Resolved | undefined {
    if (!this.#gaps.mayAskDocker(asked))
      return this.#decideLocally(asked) ?? this.#decideByPolicy(asked) ?? this.#decideFromCache(asked);
    if (
      this.#gaps.isUnfed(asked.sandbox) &&
      !isLocalhost(asked) &&
      !(lookUp(asked) && !dockersTypes.includes(asked.question.type))
    )
      return undefined;
    return this.#decideLocally(asked) ?? this.#decideInJoin(asked);
  }

  #decideLocally(asked: Asked): Resolved | undefined {
    const local = lookUp(asked) ?? (isLocalhost(asked) ? loopback(asked) : undefined);
    return local && this.#local(asked, local);
  }

  #local(asked: Asked, local: LocalAnswer): Resolved {
    // A port that was not exposed at the last news of it may be exposed by now.
    if (!local.exists && this.#gaps.isUnfed(asked.sandbox)) return failure(asked, "no-upstream", UNKNOWN_SERVICE);
    return {
      reply: localReply(asked, local, asked.sandbox.counters.local++),
      source: local.source,
      found: local.exists,
      ...(!this.#gaps.isUnfed(asked.sandbox) && { local }),
    };
  }

  /**
   * Names below `localhost` are the loopback address (RFC 6761 section 6.3) unless somebody else has them: Docker forwards
   * them, and there are users whose servers know them.
   */
  #orLoopback(asked: Asked, resolved: Resolved): Resolved {
    if (resolved.found || rcodeOf(resolved.reply) === RCODE.NOERROR) return resolved;
    const local = lookUp(asked) ? undefined : loopback(asked);
    return local ? { reply: localReply(asked, local, 0), source: local.source, found: local.exists } : resolved;
  }

  /** While a container joins: a name of several labels that upstreams have is answered from the cache. Only the join could change it. */
  #decideInJoin(asked: Asked): Resolved | undefined {
    if (asked.sandbox.view.seesSharedNetwork || this.#gaps.isFromGap(asked) || isSingleLabel(asked.question))
      return undefined;
    const cached = this.forwarder.cached(asked.sandbox, forwardedQuestion(asked));
    return cached?.stored.hasAnswers === true ? this.#decidePlainFromCache(asked) : undefined;
  }

  #decideByPolicy(asked: Asked): Resolved | undefined {
    const { sandbox } = asked;
    const { forwarding, singleLabels, search } = sandbox.record;
    const isUnsearched = search.length === 0 || forwarding.kind === "never";
    if (singleLabels === "no-data" && isSingleLabelAddress(asked.question) && isUnsearched)
      return singleLabelPolicy(asked);
    if (
      singleLabels === "deny" &&
      isSingleLabel(asked.question) &&
      (isUnsearched || !isSingleLabelAddress(asked.question))
    )
      return singleLabelPolicy(asked);
    if (forwarding.kind === "never")
      return policy(asked, { rcode: RCODE.SERVFAIL, reason: "on internal networks only: nothing is forwarded" });
    if (sandbox.upstreams.length > 0) return undefined;
    const isLoop = forwarding.upstreams.length > 0;
    return failure(
      asked,
      "no-upstream",
      isLoop ? "the upstream server is this resolver itself" : "no upstream servers",
    );
  }

  #decideFromCache(asked: Asked): Resolved | undefined {
    if (isSearched(asked)) return this.#decideSearchFromCache(asked);
    return this.#decidePlainFromCache(asked);
  }

  #decideSearchFromCache(asked: Asked): Resolved | undefined {
    const searched = searchCached(this.forwarder, asked.sandbox, forwardedQuestion(asked));
    if (!searched) return undefined;
    if (searched.found) {
      return rotatedCached(asked, foundUnderSuffix(asked, searched.found), REPLY_LASTS);
    }
    return asked.sandbox.record.singleLabels === "forward"
      ? this.#decidePlainFromCache(asked)
      : singleLabelPolicy(asked);
  }

  #decidePlainFromCache(asked: Asked): Resolved | undefined {
    const cached = this.forwarder.cached(asked.sandbox, forwardedQuestion(asked));
    if (!cached) return undefined;
    const left = cached.stale ? 0 : (cached.stored.lifetime - cached.age) * 1000;
    return rotatedCached(asked, rendered(asked, cached), Math.min(REPLY_LASTS, left));
  }

  /** Without Docker's resolver, which may not be asked or has said nothing. */
  #goOn(asked: Asked, done: (resolved: Resolved) => void): Running | undefined {
    const decided = this.#decideLocally(asked) ?? this.#decideByPolicy(asked) ?? this.#decideFromCache(asked);
    if (decided) return void done(decided);
    return isSearched(asked) ? this.#search(asked, undefined, done) : this.#askUpstreams(asked, done);
  }

  #askUpstreams(asked: Asked, done: (resolved: Resolved) => void): { cancel(): void } {
    asked.sandbox.counters.forwarded++;
    return this.forwarder.ask(asked.sandbox, forwardedQuestion(asked), (answer) => done(rendered(asked, answer)));
  }

  /** @param known what is known of the label itself */
  #search(asked: Asked, known: Resolved | undefined, done: (resolved: Resolved) => void): Running {
    const plain = known ?? this.#decideLabel(asked);
    return new SearchRace(this.forwarder, asked, plain, (told) => this.#askUpstreams(asked, told), done);
  }

  #decideLabel(asked: Asked): Resolved | undefined {
    return asked.sandbox.record.singleLabels === "forward"
      ? this.#decidePlainFromCache(asked)
      : singleLabelPolicy(asked);
  }

  #askDockerFirst(asked: Asked, done: (resolved: Resolved) => void): Running {
    const others: Others = {
      goOn: (told) => this.#goOn(asked, told),
      search: (known, told) => this.#search(asked, known, told),
      local: (answer) => this.#local(asked, answer),
    };
    return new DockerFirst(this.timers, this.#gaps, asked, others, done);
  }
}
