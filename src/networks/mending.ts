/** Who takes away again what was put back is fought less and less often: ms until the next time, doubled each time. */
const first = 250;
const atMost = 60_000;

/** Mends something whenever it is broken; at once, unless it was mended a short while ago already. */
export class Mending {
  #wait = 0;
  #mendedAt = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** @param mend never rejects  @returns whether there was something to mend */
  constructor(
    private readonly mend: () => Promise<boolean>,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** It may be broken. */
  soon(): void {
    if (this.#isStopped || this.#timer !== undefined) return;
    if (this.now() - this.#mendedAt > atMost) this.#wait = 0;
    this.#timer = setTimeout(() => void this.#run(), this.#wait);
  }

  /** Can be called twice. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    if (!(await this.mend())) return;
    this.#mendedAt = this.now();
    this.#wait = Math.min(atMost, this.#wait === 0 ? first : this.#wait * 2);
  }
}
