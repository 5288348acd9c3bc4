/** How often a look that was overtaken by news is discarded before its result is taken all the same. */
const overtakenAtMost = 5;

interface Look {
  /** It was asked for again while under way: its result may be old. */
  again: boolean;
  overtaken: number;
}

/** Most looks at once. One at a container that is just starting waits until it has: the others must not wait for it. */
const looksAtMost = 48;
/** How many of them at what is only listed: with more, dockerd and this process hold each other up, and nothing is gained. */
const listedAtMost = 3;
/** A look that takes longer waits for something in dockerd, ms: another may be made beside it. */
const patience = 100;

/**
 * Looks at things by id, each at most once at a time, several at once. Asked again meanwhile, it looks again: an
 * answer that was overtaken is not used. A look that fails never stops the others.
 */
export class InspectQueue {
  readonly #looks = new Map<string, Look>();
  readonly #news: string[] = [];
  readonly #listed = new Set<string>();
  #running = 0;
  #runningListed = 0;
  #idle: (() => void)[] = [];

  /**
   * @param look fetches and returns what to do with the result; may reject
   * @param onFailure told of a rejected look; the id is free to be looked at again
   */
  constructor(
    private readonly look: (id: string) => Promise<() => void>,
    private readonly onFailure: (id: string, error: unknown) => void,
    private readonly atMost: { readonly all: number; readonly listed: number } = {
      all: looksAtMost,
      listed: listedAtMost,
    },
  ) {}

  /** There is news of `id`: looks at it soon, or once more when a look at it is under way. */
  request(id: string): void {
    const known = this.#looks.get(id);
    if (known && !this.#listed.delete(id)) {
      known.again = true;
      return;
    }
    if (!known) this.#looks.set(id, { again: false, overtaken: 0 });
    this.#news.push(id);
    this.#next();
  }

  /** As {@link request}, for things of which there is no news: those with news go first. */
  requestListed(ids: Iterable<string>): void {
    for (const id of ids) {
      const known = this.#looks.get(id);
      if (known) {
        known.again = true;
        continue;
      }
      this.#looks.set(id, { again: false, overtaken: 0 });
      this.#listed.add(id);
    }
    this.#next();
  }

  /** Resolves when nothing is left to look at. */
  settled(): Promise<void> {
    if (this.#looks.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #next(): void {
    while (this.#running < this.atMost.all) {
      const id = this.#news.shift();
      if (id === undefined) break;
      void this.#run(id);
    }
    for (const id of this.#listed) {
      if (this.#running >= this.atMost.all || this.#runningListed >= this.atMost.listed) return;
      this.#listed.delete(id);
      void this.#runListed(id);
    }
  }

  async #runListed(id: string): Promise<void> {
    this.#runningListed++;
    let counts = true;
    const makeRoom = () => {
      if (counts) this.#runningListed--;
      counts = false;
    };
    const waiting = setTimeout(() => {
      makeRoom();
      this.#next();
    }, patience);
    await this.#run(id, makeRoom);
    clearTimeout(waiting);
  }

  async #run(id: string, onEnded?: () => void): Promise<void> {
    const look = this.#looks.get(id)!;
    this.#running++;
    look.again = false;
    try {
      const apply = await this.look(id);
      if (!look.again || ++look.overtaken > overtakenAtMost) apply();
    } catch (error) {
      this.onFailure(id, error);
    }
    this.#running--;
    onEnded?.();
    if (look.again) this.#news.push(id);
    else this.#looks.delete(id);
    this.#next();
    if (this.#looks.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}
