/** How often something may happen: once in so many milliseconds on average, and so many times at once. */
export class Allowance {
  #left: number;
  #at: number;

  /** @param now milliseconds */
  constructor(
    private readonly each: number,
    private readonly atOnce: number,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#left = atOnce;
    this.#at = now();
  }

  /** @returns whether it may happen once more now */
  take(): boolean {
    const now = this.now();
    this.#left = Math.min(this.atOnce, this.#left + (now - this.#at) / this.each);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
