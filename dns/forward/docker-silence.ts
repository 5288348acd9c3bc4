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

/** Who waits for an answer of Docker's resolver. */
export interface Waiter {
  readonly done: (reply: Buffer | undefined) => void;
  /** It asked when the question was under way already: what that brings of a name that came since may be wrong. */
  readonly isLate: boolean;
}

/** Everybody who waits for one question. */
export type DockerFlight = Set<Waiter>;
