/** The names seen last, up to a bound: no client can make it grow by asking for many. */
export class RecentNames {
  /** Until when each is recent, milliseconds on the caller's clock; the one seen first comes first. */
  readonly #until = new Map<string, number>();

  /** @param lasts milliseconds a name stays recent */
  constructor(
    private readonly lasts: number,
    private readonly atMost = 64,
  ) {}

  /** @param now milliseconds on a clock that never goes back */
  add(key: string, now: number): void {
    this.#until.delete(key);
    this.#until.set(key, now + this.lasts);
    if (this.#until.size <= this.atMost) return;
    const [first] = this.#until.keys();
    this.#until.delete(first!);
  }

  delete(key: string): void {
    this.#until.delete(key);
  }

  clear(): void {
    this.#until.clear();
  }

  has(key: string, now: number): boolean {
    if (this.#until.size === 0) return false;
    const until = this.#until.get(key);
    if (until !== undefined && now < until) return true;
    this.#until.delete(key);
    return false;
  }
}
