/** ms: whoever deletes an entry by hand has it back by then. */
export const roundEvery = 30_000;

/** Compares what the kernel knows of other hosts' endpoints with what is wanted, again and again: nothing tells of an entry that goes. */
export class NeighbourRounds {
  #timer: NodeJS.Timeout | undefined;

  /** @param compare never rejects @param every ms between two */
  constructor(
    private readonly compare: () => Promise<void>,
    private readonly every: number = roundEvery,
  ) {}

  /** Can be called twice. */
  start(): void {
    this.#timer ??= setInterval(() => void this.compare(), this.every);
  }

  /** Can be called twice. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
