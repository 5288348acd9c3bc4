/** Lets so many things be done at a time; the others wait, in order. */
export class Turns {
  readonly #waiting: (() => void)[] = [];

  /** @param free how many at a time */
  constructor(private free: number) {}

  /** Does `work` when it is its turn. Settles as that does. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}
