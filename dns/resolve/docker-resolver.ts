import type { TimerWheel } from "../../linux/timer-wheel.js";
import { answerCount, isTruncated } from "../wire/reply-check.js";
import type { DockerFlight, Waiter } from "../forward/docker-silence.js";
import { FORWARD_TIME } from "../forward/forward.js";
import { UDP_REPLY_LIMIT } from "../wire/reply.js";
import type { Asked } from "./resolved.js";
import { withSize } from "../wire/stored-reply.js";
import type { Exchange, ExchangeOutcome } from "../forward/udp-channel.js";

/** What Docker's resolver is asked. */
export type DockerQuestion = Pick<Asked, "sandbox" | "message" | "limit"> & {
  readonly question: Pick<Asked["question"], "end" | "edns">;
};

/**
 * Asks Docker's resolver a client's question, as the client sent it: it may forward it. The same question, asked meanwhile,
 * waits for the same answer; if that brings no record, it is asked anew, once for all who wait. Docker's resolver cannot be
 * reached over TCP past the takeover: for a client of TCP a truncated answer is asked for again, with room for more.
 * @param patience ms, of whoever asks first
 * @param done called once, unless cancelled: with the reply, or undefined when it cannot be reached or has said nothing in time
 */
export function askDocker(
  timers: TimerWheel,
  asked: DockerQuestion,
  patience: number,
  done: (reply: Buffer | undefined) => void,
): { cancel(): void } {
  const { dockerFlights } = asked.sandbox;
  const key = `${asked.limit > UDP_REPLY_LIMIT ? "tcp" : "udp"} ${asked.message.toString("latin1", 2)}`;
  const start = (waiters: DockerFlight) => {
    dockerFlights.set(key, waiters);
    fly(timers, asked, patience, (reply) => {
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
  timers: TimerWheel,
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
    // Also when nobody waits any more: a late answer shows that it is not silent.
    if (outcome.kind === "reply") sandbox.dockerSilence.heard();
    if (outcome.kind === "failed" || !open || truncated || !isTruncated(outcome.reply) || limit <= UDP_REPLY_LIMIT) {
      late.cancel();
      return end(outcome.kind === "reply" ? outcome.reply : truncated);
    }
    truncated = outcome.reply;
    exchange = sandbox.dockerResolver?.ask(
      withSize(message, question.end, UDP_REPLY_LIMIT, question.edns?.dnssecOk ?? false),
      question.end,
      onOutcome,
    );
  };
  const askedAt = timers.now();
  sandbox.dockerSilence.tried(askedAt);
  const timer = timers.schedule(patience, () => {
    if (!truncated) sandbox.dockerSilence.leftUnanswered(askedAt);
    end(truncated);
  });
  const late = timers.schedule(FORWARD_TIME, () => exchange?.cancel());
  exchange = sandbox.dockerResolver?.ask(message, question.end, onOutcome);
}
