export interface Patience {
  /** ms without another that asks. */
  readonly afterTheLast: number;
  /** ms, whoever else asks. */
  readonly afterTheFirst: number;
}

/** Work that waits for more of its kind, and is never done twice at the same time. */
export class Later {
  #timer: NodeJS.Timeout | undefined;
  #first: number | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly patience: Patience) {}

  /** Has it done, once for all that ask before it begins. @param work never rejects */
  soon(work: () => Promise<void>): void {
    const { afterTheLast, afterTheFirst } = this.patience;
    this.#first ??= performance.now();
    clearTimeout(this.#timer);
    const wait = Math.max(0, Math.min(afterTheLast, this.#first + afterTheFirst - performance.now()));
    this.#timer = setTimeout(() => {
      this.#first = undefined;
      this.#running = this.#running.then(work);
    }, wait);
  }

  /** What has begun is done; what has not is not begun. */
  finish(): Promise<void> {
    clearTimeout(this.#timer);
    return this.#running;
  }
}
