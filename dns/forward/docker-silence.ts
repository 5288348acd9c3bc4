/** How often Docker's resolver is tried while it says nothing at all, ms. */
const TRY_EVERY = 1000;

/** After so much silence Docker's resolver is waited for only as long as it takes to find out whether it is back, ms. */
const SILENT_AFTER = 2000;

/** Whether Docker's resolver, as it is reached from one sandbox, says anything at present. Times are ms on one clock. */
export class DockerSilence {
  /** When the first question was sent after which nothing has been heard. */
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

  /** A question sent at that time had no answer. */
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
  /** It asked while the question was under way already, whose answer may be too old for a name that was added since. */
  readonly isLate: boolean;
}

/** Everybody who waits for one question. */
export type DockerFlight = Set<Waiter>;
