import type { DeadlineWheel } from "../src/linux/wheel.js";
import { answerCount, isTruncated } from "./reply-check.js";
import { FORWARD_TIME } from "./forward.js";
import { UDP_REPLY_LIMIT } from "./reply.js";
import type { Asked } from "./resolved.js";
import { withSize } from "./stored-reply.js";
import type { Exchange, ExchangeOutcome } from "./udp-channel.js";

/** How often Docker's resolver is tried while it says nothing at all, ms. */
const TRY_EVERY = 1000;

/** Silent for so long, Docker's resolver is waited for no more than it takes to find out whether it is back, ms. */
const SILENT_AFTER = 2000;

/** Whether Docker's resolver, as it is reached from one sandbox, says anything at present. Times are ms on one clock. */
export class DockerSilence {
  /** When the first question was sent that nothing has been heard since. */
  #since: number | undefined;
  #triedAt = 0;

  isSilent(now: number): boolean {
    return this.#since !== undefined && now - this.#since >= SILENT_AFTER;
  }

  /** Whether it may be asked: while it is silent, one question at a time finds out whether it is back. */
  mayTry(now: number): boolean {
    return !this.isSilent(now) || now - this.#triedAt >= TRY_EVERY;
  }

  tried(now: number): void {
    this.#triedAt = now;
  }

  /** A question of that time was waited for in vain. */
  leftUnanswered(askedAt: number): void {
    this.#since ??= askedAt;
  }

  /** It has said something. */
  heard(): void {
    this.#since = undefined;
  }
}

/** What Docker's resolver is asked. */
export type DockerQuestion = Pick<Asked, "sandbox" | "message" | "limit"> & {
  readonly question: Pick<Asked["question"], "end" | "edns">;
};

/** Who waits for an answer of Docker's resolver. */
interface Waiter {
  readonly done: (reply: Buffer | undefined) => void;
  /** It asked when the question was under way already: what that brings of a name that came since may be wrong. */
  readonly isLate: boolean;
}

/** Everybody who waits for one question. */
export type DockerFlight = Set<Waiter>;

/**
 * Asks Docker's resolver a client's question, as the client sent it: it may forward it. The same question, asked meanwhile,
 * waits for the same answer, and is asked anew, once for all, if that brings no record. What is truncated is asked for again
 * with room for more where the client asks over TCP, over which Docker's resolver cannot be reached past the takeover.
 * @param patience ms, of whoever asks first
 * @param done called once, unless cancelled: with the reply, or undefined when it cannot be reached or has said nothing in time
 */
export function askDocker(
  wheel: DeadlineWheel,
  asked: DockerQuestion,
  patience: number,
  done: (reply: Buffer | undefined) => void,
): { cancel(): void } {
  const { dockerFlights } = asked.sandbox;
  const key = `${asked.limit > UDP_REPLY_LIMIT ? "tcp" : "udp"} ${asked.message.toString("latin1", 2)}`;
  const start = (waiters: DockerFlight) => {
    dockerFlights.set(key, waiters);
    fly(wheel, asked, patience, (reply) => {
      dockerFlights.delete(key);
      const isGood = reply !== undefined && answerCount(reply) > 0;
      const again = [...waiters].filter(({ isLate }) => isLate && !isGood);
      if (again.length > 0) start(new Set(again.map(({ done: tell }) => ({ done: tell, isLate: false }))));
      for (const waiter of waiters) if (isGood || !waiter.isLate) waiter.done(reply);
    });
  };
  const known = dockerFlights.get(key);
  let open = true;
  const waiter: Waiter = { done: (reply) => open && done(reply), isLate: known !== undefined };
  if (known) known.add(waiter);
  else start(new Set([waiter]));
  return { cancel: () => void (open = false) };
}

/** @param done called once, never from inside */
function fly(
  wheel: DeadlineWheel,
  { sandbox, message, question, limit }: DockerQuestion,
  patience: number,
  done: (reply: Buffer | undefined) => void,
): void {
  let truncated: Buffer | undefined;
  let exchange: Exchange | undefined;
  let open = true;
  const end = (reply: Buffer | undefined) => {
    if (!open) return;
    open = false;
    timer.cancel();
    done(reply);
  };
  const onOutcome = (outcome: ExchangeOutcome) => {
    // Also when nobody waits any more: what it says late is said.
    if (outcome.kind === "reply") sandbox.dockerSilence.heard();
    if (outcome.kind === "failed" || !open || truncated || !isTruncated(outcome.reply) || limit <= UDP_REPLY_LIMIT) {
      late.cancel();
      return end(outcome.kind === "reply" ? outcome.reply : truncated);
    }
    truncated = outcome.reply;
    exchange = sandbox.bridge?.ask(
      withSize(message, question.end, UDP_REPLY_LIMIT, question.edns?.dnssecOk ?? false),
      question.end,
      onOutcome,
    );
  };
  const askedAt = wheel.now();
  sandbox.dockerSilence.tried(askedAt);
  const timer = wheel.in(patience, () => {
    if (!truncated) sandbox.dockerSilence.leftUnanswered(askedAt);
    end(truncated);
  });
  const late = wheel.in(FORWARD_TIME, () => exchange?.cancel());
  exchange = sandbox.bridge?.ask(message, question.end, onOutcome);
}
