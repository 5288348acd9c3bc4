import type { TimerWheel } from "../../linux/timer-wheel.js";
import type { Gap } from "../protocol.js";
import type { Sandbox } from "../sandbox.js";
import { lookUp } from "./local.js";
import type { Asked } from "./resolved.js";

/** Milliseconds Docker's resolver is given where the table has an answer as well, and while it is known to be silent. */
export const SHORT_TIME = 100;
/**
 * The same while a container joins, or for a name that a join brought a moment ago: dockerd holds its locks then, at times
 * for as long as its disk takes to write, and answers as soon as the join is done. Short enough that the client still has
 * its answer within four seconds.
 */
const JOIN_TIME = 3000;

/** Where the table may be behind Docker, and whether Docker's resolver is asked for that. */
export class Gaps {
  /** As the daemon has told it. */
  told: Gap = { everywhere: true, networks: [] };
  /** Milliseconds Docker's resolver may take; it forwards by itself. */
  patience = 2000;

  constructor(private readonly timers: TimerWheel) {}

  /** Nobody tells what has changed: the table knows what was, Docker's resolver what is. There is no gap where that is not. */
  isUnfed({ dockerResolver }: Sandbox): boolean {
    return this.told.everywhere && dockerResolver !== undefined;
  }

  /** Docker's resolver forwards what it does not know, so asking it is forwarding: it is asked only in gaps. */
  mayAskDocker(asked: Asked): boolean {
    const { sandbox } = asked;
    if (sandbox.record.forwarding.kind === "never" || !sandbox.dockerResolver) return false;
    if (this.#isJoined(sandbox) || this.isFromGap(asked)) return true;
    return this.isInGap(sandbox) && sandbox.dockerSilence.mayTry(this.timers.now());
  }

  isInGap(sandbox: Sandbox): boolean {
    return this.told.everywhere || sandbox.view.seesSharedNetwork || this.#isJoined(sandbox);
  }

  /**
   * Whether Docker's resolver gave the name in a gap that may have ended before the table held it: Docker's resolver knows a
   * name before the event that tells us, and it may have been asked in the gap of another container.
   */
  isFromGap({ sandbox, question }: Asked): boolean {
    return sandbox.fromGap.has(question.key, this.timers.now());
  }

  /** Docker's resolver gave the name when it was asked in a gap; one that was asked only because of that would be asked for ever. */
  found({ sandbox, question }: Asked): void {
    sandbox.fromGap.add(question.key, this.timers.now());
  }

  /** Milliseconds that Docker's resolver is given for a question. */
  patienceFor(asked: Asked): number {
    const { sandbox } = asked;
    if (lookUp(asked)) return SHORT_TIME;
    if (this.#isJoined(sandbox) || this.isFromGap(asked)) return JOIN_TIME;
    return sandbox.dockerSilence.isSilent(this.timers.now()) ? SHORT_TIME : this.patience;
  }

  /** Whether a container is just joining one of the client's networks. */
  #isJoined(sandbox: Sandbox): boolean {
    return this.told.networks.some((network) => sandbox.isOn(network));
  }
}
