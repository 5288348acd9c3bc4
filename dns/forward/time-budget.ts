import type { Poller } from "../../linux/poller.js";
import { monotonicNow } from "../../linux/timer-wheel.js";

/** Milliseconds in a round of the loop. */
const timeBudget = 0.4;

/**
 * The time that work for one party may take in a round of the loop, however many descriptors are ready for it: what is
 * left over waits for the next round, in which others have had their turn.
 */
export class TimeBudget {
  #spent = 0;
  #renewing = false;

  constructor(private readonly poller: Poller) {}

  /** Whether there is time left in this round. */
  get isLeft(): boolean {
    return this.#spent < timeBudget;
  }

  /** Does some work on this party's account. */
  spend(work: () => void): void {
    if (!this.#renewing) {
      this.#renewing = true;
      this.poller.defer(() => this.#renew());
    }
    const began = monotonicNow();
    try {
      work();
    } finally {
      this.#spent += monotonicNow() - began;
    }
  }

  #renew(): void {
    this.#renewing = false;
    this.#spent = 0;
  }
}
