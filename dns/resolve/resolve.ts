import type { TimerWheel } from "../../linux/timer-wheel.js";
import { askDocker } from "./docker-resolver.js";
import { FORWARD_TIME } from "../forward/forward.js";
import { localhostAnswer } from "../table/localhost.js";
import type { LocalAnswer } from "../table/lookup.js";
import { keyOfText } from "../wire/name.js";
import type { Forwarder } from "./forwarder.js";
import type { Gap } from "../protocol.js";
import { isInternet, RCODE, TYPE } from "../wire/query.js";
import {
  dockerResolver,
  failure,
  foundUnderSuffix,
  isSearched,
  isSingleLabel,
  isSingleLabelAddress,
  localReply,
  notUnderSuffix,
  forwardedQuestion,
  policy,
  rendered,
  rotatedCached,
  singleLabelPolicy,
  type Asked,
  type Resolved,
} from "./resolved.js";
import { rcodeOf } from "../wire/reply-check.js";
import type { Sandbox } from "../sandbox.js";
import { searchCached, searchSuffixes, type Searched } from "./search.js";
import { addressesIn, plainQuery, storeReply } from "../wire/stored-reply.js";

/** Milliseconds Docker's resolver is given where the table has an answer as well, and while it is known to be silent. */
const BRIDGE_TIME = 100;
/**
 * The same while a container joins, or for a name that a join brought a moment ago: dockerd holds its locks then, at times
 * for as long as its disk takes to write, and answers as soon as the join is done. Short enough that the client still has
 * its answer within four seconds.
 */
const JOIN_TIME = 3000;
/**
 * Milliseconds for which Docker's answer about a name that the table has, too, is given out again: Docker's resolver is
 * too slow for the thousands of questions a second that the table answers while it is fed.
 */
const CONFIRMED_LASTS = 250;
/** Milliseconds a ready reply with counted-down TTLs may be given out again as it is. */
const REPLY_LASTS = 1000;

interface Running {
  cancel(): void;
}

/** Answers questions: from the table, by policy, from the cache, from outside, and in a gap from Docker's resolver. */
export class Resolver {
  gap: Gap = { everywhere: true, networks: [] };
  /** Milliseconds Docker's resolver may take; it forwards by itself. */
  patience = 2000;

  constructor(
    private readonly timers: TimerWheel,
    private readonly forwarder: Forwarder,
  ) {}

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
      if (running) sandbox.underWay.delete(running);
      done(this.#orLoopback(asked, resolved));
    };
    running = this.#mayAskDocker(asked) ? this.#askDockerFirst(asked, finish) : this.#goOn(asked, finish);
    if (!over && running) sandbox.underWay.add(running);
  }

  #decideAlone(asked: Asked): Resolved | undefined {
    if (!this.#mayAskDocker(asked))
      return this.#decideLocally(asked) ?? this.#decideByPolicy(asked) ?? this.#decideFromCache(asked);
    if (this.#isUnfed && !isLocalhost(asked) && !(lookUp(asked) && !dockersTypes.includes(asked.question.type)))
      return undefined;
    return this.#decideLocally(asked) ?? this.#decideInJoin(asked);
  }

  /** Nobody tells what has changed: the table knows what was, Docker's resolver what is. */
  get #isUnfed(): boolean {
    return this.gap.everywhere;
  }

  #decideLocally(asked: Asked): Resolved | undefined {
    const local = lookUp(asked) ?? (isLocalhost(asked) ? loopback(asked) : undefined);
    return local && this.#local(asked, local);
  }

  #local(asked: Asked, local: LocalAnswer): Resolved {
    // A port that was not exposed at the last news of it may be exposed by now.
    if (!local.exists && this.#isUnfed) return failure(asked, "no-upstream", unknownService);
    return {
      reply: localReply(asked, local, asked.sandbox.counters.local++),
      source: local.source,
      found: local.exists,
      ...(!this.#isUnfed && { local }),
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
    if (asked.sandbox.view.seesSharedNetwork || this.#isFromGap(asked) || isSingleLabel(asked.question))
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

  /** Docker's resolver forwards what it does not know, so asking it is forwarding, and done in gaps only. */
  #mayAskDocker(asked: Asked): boolean {
    const { sandbox } = asked;
    if (sandbox.record.forwarding.kind === "never" || !sandbox.dockerResolver) return false;
    if (this.#isJoined(sandbox) || this.#isFromGap(asked)) return true;
    return this.#isInGap(sandbox) && sandbox.dockerSilence.mayTry(this.timers.now());
  }

  #isInGap(sandbox: Sandbox): boolean {
    return this.gap.everywhere || sandbox.view.seesSharedNetwork || this.#isJoined(sandbox);
  }

  /**
   * Whether Docker's resolver gave the name in a gap that may have ended before the table held it: it knows a name before
   * the event that tells us, and another container's gap may be what let us ask.
   */
  #isFromGap({ sandbox, question }: Asked): boolean {
    return sandbox.fromGap.has(question.key, this.timers.now());
  }

  /** Whether a container is just joining one of the client's networks. */
  #isJoined(sandbox: Sandbox): boolean {
    return this.gap.networks.some((network) => sandbox.isOn(network));
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

  /**
   * The suffixes and, where it may be forwarded, the label itself at once; the suffixes come first.
   * @param known what is known of the label itself
   */
  #search(asked: Asked, known: Resolved | undefined, done: (resolved: Resolved) => void): Running {
    const { sandbox } = asked;
    const running: Running[] = [];
    let searched: Searched | undefined;
    let plain = known ?? this.#decideLabel(asked);
    let over = false;
    const cancel = () => {
      over = true;
      for (const each of running) each.cancel();
    };
    const settle = () => {
      if (over || !searched) return;
      const resolved = searched.found
        ? foundUnderSuffix(asked, searched.found)
        : plain && notUnderSuffix(asked, searched, plain);
      if (!resolved) return;
      cancel();
      done(resolved);
    };
    running.push(
      searchSuffixes(this.forwarder, sandbox, forwardedQuestion(asked), (outcome) => {
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

  #decideLabel(asked: Asked): Resolved | undefined {
    return asked.sandbox.record.singleLabels === "forward"
      ? this.#decidePlainFromCache(asked)
      : singleLabelPolicy(asked);
  }

  /**
   * Where Docker's resolver is asked, what it says holds, and nobody else is asked meanwhile: it knows the names of its
   * networks, whoever else claims them, and forwards all others by itself. Only when it fails or is silent are others asked.
   */
  #askDockerFirst(asked: Asked, done: (resolved: Resolved) => void): Running {
    const { sandbox } = asked;
    sandbox.counters.dockerResolver++;
    let next: Running | undefined;
    const finish = (resolved: Resolved) => {
      deadline.cancel();
      done(resolved);
    };
    const question = askDocker(this.timers, asked, this.#patienceFor(asked), (reply) => {
      const dockers = reply && dockerResolver(asked, reply);
      next = dockers ? this.#onDockers(asked, dockers, finish) : this.#goOn(asked, finish);
    });
    const cancel = () => {
      deadline.cancel();
      question.cancel();
      next?.cancel();
    };
    // What is asked after Docker's resolver has what is left of a question's time.
    const deadline = this.timers.schedule(FORWARD_TIME, () => {
      cancel();
      done(
        failure(asked, "timeout", "no answer from Docker's resolver, nor from the upstream servers in the time left"),
      );
    });
    return { cancel };
  }

  #patienceFor(asked: Asked): number {
    const { sandbox } = asked;
    if (lookUp(asked)) return BRIDGE_TIME;
    if (this.#isJoined(sandbox) || this.#isFromGap(asked)) return JOIN_TIME;
    return sandbox.dockerSilence.isSilent(this.timers.now()) ? BRIDGE_TIME : this.patience;
  }

  #onDockers(asked: Asked, dockers: Resolved, done: (resolved: Resolved) => void): Running | undefined {
    const { sandbox, question } = asked;
    if (dockers.found) {
      // Not when it was asked only because it is remembered: that would never end.
      if (this.#isInGap(sandbox)) sandbox.fromGap.add(question.key, this.timers.now());
      return void done(this.#isUnfed && lookUp(asked) ? { ...dockers, lasts: CONFIRMED_LASTS } : dockers);
    }
    const rcode = rcodeOf(dockers.reply);
    if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return this.#goOn(asked, done);
    // Fed, the table may have learnt the name meanwhile.
    const local = lookUp(asked);
    if (local && !this.#isUnfed) return void done(this.#local(asked, local));
    if (rcode === RCODE.NOERROR) return void done(dockers);
    if (local) return this.#confirm(asked, local, dockers, done);
    if (this.#isUnfed && question.type === TYPE.SRV && sandbox.view.isOwnService(question.key))
      return void done(failure(asked, "no-upstream", unknownService));
    return isSearched(asked) ? this.#search(asked, dockers, done) : void done(dockers);
  }

  /**
   * Docker's resolver denies what the table has: it is asked in another letter case, or under a name that only pontoon gives, or the
   * container is gone. The container's own name tells which: is it there, with one of these addresses?
   */
  #confirm(
    asked: Asked,
    local: LocalAnswer,
    dockers: Resolved,
    done: (resolved: Resolved) => void,
  ): Running | undefined {
    const key = keyOfText(local.source.names[0] ?? "");
    if (key === undefined || asked.question.type === TYPE.PTR) return void done(dockers);
    const type = asked.question.type === TYPE.AAAA ? TYPE.AAAA : TYPE.A;
    const { message, end } = plainQuery(key, type);
    return askDocker(
      this.timers,
      { sandbox: asked.sandbox, message, question: { end, edns: undefined }, limit: 0 },
      BRIDGE_TIME,
      (reply) => {
        const there = reply ? addressesOf(reply, end, type) : [];
        const isSame =
          local.records.every((record) => record.type !== type) ||
          local.records.some(({ data }) => there.some((address) => address.equals(data)));
        done(there.length > 0 && isSame ? this.#local(asked, local) : dockers);
      },
    );
  }
}

/** What Docker's resolver knows of containers. It forwards what is asked of other types, name and all. */
const dockersTypes: readonly number[] = [TYPE.A, TYPE.AAAA, TYPE.PTR];

const unknownService = "whether this service is there is not known at present";

function lookUp({ sandbox, question }: Asked): LocalAnswer | undefined {
  if (!isInternet(question)) return undefined;
  return sandbox.view.answer(question.key, question.type);
}

/** `localhost` itself, which nobody else is asked for. */
function isLocalhost(asked: Asked): boolean {
  return isSingleLabel(asked.question) && loopback(asked) !== undefined && !lookUp(asked);
}

function loopback({ question }: Asked): LocalAnswer | undefined {
  return isInternet(question) ? localhostAnswer(question.key, question.type) : undefined;
}

function addressesOf(reply: Buffer, end: number, type: number): Buffer[] {
  const stored = storeReply(reply, end);
  return stored ? addressesIn(stored, end, type, 0).map(({ data }) => data) : [];
}
