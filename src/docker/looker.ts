/** How often a look that was overtaken by news is thrown away before its result is taken all the same. */
const overtakenAtMost = 5;

interface Look {
  /** Asked again while under way: what it brings may be old. */
  again: boolean;
  overtaken: number;
}

/**
 * Looks at things by id, each at most once at a time, several at once. Asked again meanwhile, it looks again: an
 * answer that was overtaken is not used. A look that fails never stops the others.
 */
export class Looker {
  readonly #looks = new Map<string, Look>();
  readonly #queue: string[] = [];
  #running = 0;
  #idle: (() => void)[] = [];

  /**
   * @param look fetches and returns what to do with the result; may reject
   * @param onFailure told of a rejected look; the id is free to be looked at again
   */
  constructor(
    private readonly look: (id: string) => Promise<() => void>,
    private readonly onFailure: (id: string, error: unknown) => void,
    private readonly atOnce = 48,
  ) {}

  /** Looks at `id` soon, or once more when a look at it is under way. */
  request(id: string): void {
    const known = this.#looks.get(id);
    if (known) {
      known.again = true;
      return;
    }
    this.#looks.set(id, { again: false, overtaken: 0 });
    this.#queue.push(id);
    this.#next();
  }

  /** Resolves when nothing is left to look at. */
  settled(): Promise<void> {
    if (this.#looks.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #next(): void {
    while (this.#running < this.atOnce && this.#queue.length > 0) {
      this.#running++;
      void this.#run(this.#queue.shift()!);
    }
  }

  async #run(id: string): Promise<void> {
    const look = this.#looks.get(id)!;
    look.again = false;
    try {
      const apply = await this.look(id);
      if (!look.again || ++look.overtaken > overtakenAtMost) apply();
    } catch (error) {
      this.onFailure(id, error);
    }
    this.#running--;
    if (look.again) this.#queue.push(id);
    else this.#looks.delete(id);
    this.#next();
    if (this.#looks.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}
