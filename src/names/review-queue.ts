export interface Reviewer {
  reviewNetwork(id: string): void;
  /** What is not over when it returns. */
  reviewContainer(id: string): Promise<void> | undefined;
  /** Everything asked for has been begun. */
  onReviewed(): void;
}

/** What is to be looked at again; changes of one turn of the event loop are looked at together. */
export class ReviewQueue {
  readonly #containers = new Set<string>();
  readonly #networks = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  #scheduled = false;

  constructor(private readonly reviewer: Reviewer) {}

  /** Also without an id: what goes with a review is wanted then. */
  request({
    containers = [],
    networks = [],
  }: { readonly containers?: Iterable<string>; readonly networks?: Iterable<string> } = {}): void {
    for (const id of containers) this.#containers.add(id);
    for (const id of networks) this.#networks.add(id);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#run());
  }

  /** Resolves when every change so far has been looked at. */
  async settled(): Promise<void> {
    while (this.#scheduled || this.#running.size > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.all(this.#running);
    }
  }

  /** Networks first: a network's review asks for those of its containers. */
  #run(): void {
    for (const id of taken(this.#networks)) this.reviewer.reviewNetwork(id);
    this.#scheduled = false;
    for (const id of taken(this.#containers)) {
      const running = this.reviewer.reviewContainer(id)?.finally(() => this.#running.delete(running!));
      if (running) this.#running.add(running);
    }
    this.reviewer.onReviewed();
  }
}

function taken(ids: Set<string>): string[] {
  const all = [...ids];
  ids.clear();
  return all;
}
