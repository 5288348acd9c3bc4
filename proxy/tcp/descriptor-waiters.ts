import type { Poller } from "../../linux/poller.js";
import type { Timer, TimerWheel } from "../../linux/timer-wheel.js";

/** When to look again, ms, since descriptors may also be freed without our being told. */
const lookAgainAfter = 100;

/**
 * Those who stopped accepting because descriptors were used up. They are asked to go on when some were freed, in the
 * order in which they stopped; until then their listeners are not polled, so nothing spins.
 */
export class DescriptorWaiters {
  readonly #waiting = new Set<() => void>();
  #scheduled = false;
  #deadline: Timer | undefined;

  constructor(
    private readonly poller: Poller,
    private readonly timers: TimerWheel,
  ) {}

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Calls `resume` once, when it is worth another try. */
  wait(resume: () => void): void {
    this.#waiting.add(resume);
    this.#deadline ??= this.timers.schedule(lookAgainAfter, () => {
      this.#deadline = undefined;
      this.#resume();
    });
  }

  forget(resume: () => void): void {
    this.#waiting.delete(resume);
  }

  /** Descriptors were closed. Cheap while nobody waits. */
  freed(): void {
    if (this.#waiting.size === 0 || this.#scheduled) return;
    this.#scheduled = true;
    this.poller.defer(() => {
      this.#scheduled = false;
      this.#resume();
    });
  }

  #resume(): void {
    const resumes = [...this.#waiting];
    this.#waiting.clear();
    for (const resume of resumes) resume();
  }
}
