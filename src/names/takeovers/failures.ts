/** Why a sandbox is not taken over although it should be. */
export interface Failure {
  readonly code: string;
  readonly reason: string;
  /** How often that was tried in a row. */
  readonly tries: number;
  /** When it is to be tried again, as performance.now() has it. */
  readonly againAt: number;
  /** No sooner than then, even if what is in the way has changed. */
  readonly notBefore: number;
}

const againAfter = 1000; // ms, doubled with each failure in a row
const againAtMost = 60_000;
/** Who has rules of its own in the way is tried again when they change, but no sooner than this after the last time, ms. */
const againAfterChange = 2000;
/** Who was given back to its own rules counts as new after this, ms. */
const givenBackFor = 600_000;
/** Times in a row that one is given back and soon tried again; then later each time. */
const timesAtOnce = 3;

/** Which sandboxes are not taken over although they should be, and when that is to be tried again: later each time. */
export class Failures {
  readonly #failures = new Map<string, Failure>();

  /** @param now ms, as performance.now() has it */
  constructor(private readonly now: () => number = () => performance.now()) {}

  get all(): ReadonlyMap<string, Failure> {
    return this.#failures;
  }

  forget(sandbox: string): void {
    this.#failures.delete(sandbox);
  }

  /** It could not be taken over. @returns whether the reason is another than the last time */
  failed(sandbox: string, code: string, reason: string): boolean {
    const before = this.#failures.get(sandbox);
    const tries = (before?.tries ?? 0) + 1;
    const now = this.now();
    this.#failures.set(sandbox, {
      code,
      reason,
      tries,
      againAt: now + backOff(tries - 1),
      notBefore: now + againAfterChange,
    });
    return before?.reason !== reason;
  }

  /** It was given back to its own rules. @param times how often in a row, as {@link GivenBack} counts */
  givenBack(sandbox: string, code: string, reason: string, times: number): void {
    const againAt = this.now() + backOff(Math.max(0, times - timesAtOnce));
    this.#failures.set(sandbox, { code, reason, tries: 1, againAt, notBefore: againAt });
  }

  /** Rules have changed there: what was in the way may be gone. */
  rulesChanged(sandbox: string): void {
    const failure = this.#failures.get(sandbox);
    if (!failure) return;
    const againAt = Math.min(failure.againAt, Math.max(this.now(), failure.notBefore));
    this.#failures.set(sandbox, { ...failure, againAt });
  }
}

/** How often in a row a sandbox was given back to its own rules. */
export class GivenBack {
  #times = 0;
  #last = -Infinity;

  /** It is given back once more. @param now ms @returns how often that is in a row */
  count(now = performance.now()): number {
    this.#times = now - this.#last < givenBackFor ? this.#times + 1 : 1;
    this.#last = now;
    return this.#times;
  }
}

function backOff(doublings: number): number {
  return Math.min(againAfter * 2 ** doublings, againAtMost);
}
