import type { TimerWheel } from "../../linux/timer-wheel.js";
import { FORWARD_TIME } from "../forward/forward.js";
import type { LocalAnswer } from "../table/lookup.js";
import { keyOfText } from "../wire/name.js";
import { RCODE, TYPE } from "../wire/query.js";
import { rcodeOf } from "../wire/reply-check.js";
import { addressesIn, plainQuery, storeReply } from "../wire/stored-reply.js";
import { askDocker } from "./docker-resolver.js";
import { SHORT_TIME, type Gaps } from "./gaps.js";
import { lookUp } from "./local.js";
import { dockerResolver, failure, isSearched, UNKNOWN_SERVICE, type Asked, type Resolved } from "./resolved.js";
import type { Running } from "../sandbox.js";

/**
 * Milliseconds for which Docker's answer about a name that the table has, too, is given out again: Docker's resolver is
 * too slow for the thousands of questions a second that the table answers while it is fed.
 */
const CONFIRMED_LASTS = 250;

/** Who knows more, when Docker's resolver has failed, said nothing, or denied a name. */
export interface Others {
  /** @returns undefined when it is over already */
  goOn(done: (resolved: Resolved) => void): Running | undefined;
  /** The suffixes of a label of which something is known. */
  search(known: Resolved, done: (resolved: Resolved) => void): Running;
  /** As the table has it. */
  local(answer: LocalAnswer): Resolved;
}

/**
 * The race for an answer in a gap: Docker's resolver, then the table, then upstreams, all in one question's time. What
 * Docker's resolver says holds, and nobody else is asked meanwhile: it knows the names of its networks, whoever else claims
 * them, and forwards all others by itself. Only when it fails or is silent are others asked.
 */
export class DockerFirst implements Running {
  /** What is under way: the question to Docker's resolver, then that to whoever comes after it. */
  #current: Running | undefined;
  readonly #deadline: { cancel(): void };
  /** The gap may close before Docker's resolver answers. */
  readonly #wasAskedInGap: boolean;

  /** @param done called once, unless cancelled, and never from inside */
  constructor(
    private readonly timers: TimerWheel,
    private readonly gaps: Gaps,
    private readonly asked: Asked,
    private readonly others: Others,
    private readonly done: (resolved: Resolved) => void,
  ) {
    asked.sandbox.counters.dockerResolver++;
    this.#wasAskedInGap = gaps.isInGap(asked.sandbox);
    this.#current = askDocker(timers, asked, gaps.patienceFor(asked), (reply) => this.#onReply(reply));
    // What is asked after Docker's resolver has what is left of a question's time.
    this.#deadline = timers.schedule(FORWARD_TIME, () => this.#onDeadline());
  }

  cancel(): void {
    this.#deadline.cancel();
    this.#current?.cancel();
  }

  #onDeadline(): void {
    this.cancel();
    const reason = "no answer from Docker's resolver, nor from the upstream servers in the time left";
    this.done(failure(this.asked, "timeout", reason));
  }

  #onReply(reply: Buffer | undefined): void {
    const dockers = reply && dockerResolver(this.asked, reply);
    this.#current = dockers ? this.#onDockers(dockers) : this.others.goOn(this.#finish);
  }

  readonly #finish = (resolved: Resolved): void => {
    this.#deadline.cancel();
    this.done(resolved);
  };

  /** @returns what is asked next; undefined when it is over */
  #onDockers(dockers: Resolved): Running | undefined {
    const { asked, gaps } = this;
    if (dockers.found) {
      if (this.#wasAskedInGap) gaps.found(asked);
      return void this.#finish(
        gaps.isUnfed(this.asked.sandbox) && lookUp(asked) ? { ...dockers, lasts: CONFIRMED_LASTS } : dockers,
      );
    }
    const rcode = rcodeOf(dockers.reply);
    if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return this.others.goOn(this.#finish);
    // Fed, the table may have learnt the name meanwhile.
    const local = lookUp(asked);
    if (local && !gaps.isUnfed(this.asked.sandbox)) return void this.#finish(this.others.local(local));
    if (rcode === RCODE.NOERROR) return void this.#finish(dockers);
    return local ? this.#confirm(local, dockers) : this.#onDenied(dockers);
  }

  /** Docker's resolver denies a name that the table does not have either. */
  #onDenied(dockers: Resolved): Running | undefined {
    const { asked, gaps } = this;
    const { sandbox, question } = asked;
    if (gaps.isUnfed(this.asked.sandbox) && question.type === TYPE.SRV && sandbox.view.isOwnService(question.key))
      return void this.#finish(failure(asked, "no-upstream", UNKNOWN_SERVICE));
    return isSearched(asked) ? this.others.search(dockers, this.#finish) : void this.#finish(dockers);
  }

  /**
   * Docker's resolver denies what the table has: it is asked in another letter case, or under a name that only pontoon
   * gives, or the container is gone. The container's own name tells which: is it there, with one of these addresses?
   */
  #confirm(local: LocalAnswer, dockers: Resolved): Running | undefined {
    const { sandbox, question } = this.asked;
    const key = keyOfText(local.source.names[0] ?? "");
    if (key === undefined || question.type === TYPE.PTR) return void this.#finish(dockers);
    const type = question.type === TYPE.AAAA ? TYPE.AAAA : TYPE.A;
    const { message, end } = plainQuery(key, type);
    const own = { sandbox, message, question: { end, edns: undefined }, limit: 0 };
    return askDocker(this.timers, own, SHORT_TIME, (reply) => {
      const there = reply ? addressesOf(reply, end, type) : [];
      this.#finish(isThere(local, there, type) ? this.others.local(local) : dockers);
    });
  }
}

/** Whether a container is where the table has it. @param there its addresses of a type, as Docker's resolver knows them */
export function isThere(local: Pick<LocalAnswer, "records">, there: readonly Buffer[], type: number): boolean {
  const isSame =
    local.records.every((record) => record.type !== type) ||
    local.records.some(({ data }) => there.some((address) => address.equals(data)));
  return there.length > 0 && isSame;
}

function addressesOf(reply: Buffer, end: number, type: number): Buffer[] {
  const stored = storeReply(reply, end);
  return stored ? addressesIn(stored, end, type, 0).map(({ data }) => data) : [];
}
