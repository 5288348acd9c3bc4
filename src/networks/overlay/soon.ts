/** Work that is to be done soon: asked for again before it has begun, it is done once. */
export class Soon {
  #isAsked = false;

  /** @param begin does work in its turn */
  constructor(
    private readonly begin: (work: () => Promise<void>) => void,
    private readonly work: () => Promise<void>,
  ) {}

  /** Returns at once. */
  ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.begin(() => {
      this.#isAsked = false; // what comes from here on may not be seen by it
      return this.work();
    });
  }
}
