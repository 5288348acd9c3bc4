const joinAtMost = 30_000; // ms; a container's start may wait that long for a slow image or plugin

/**
 * Containers that have joined a network but are not fully known yet: Docker already resolves their aliases, and
 * inspect waits for the start to end.
 */
export class Joins {
  readonly #byContainer = new Map<string, Map<string, number>>();

  /** @param now milliseconds */
  constructor(
    private readonly onChange: () => void,
    private readonly now: () => number = Date.now,
  ) {}

  begin(container: string, network: string): void {
    const networks = this.#byContainer.get(container) ?? new Map<string, number>();
    networks.set(network, this.now() + joinAtMost);
    this.#byContainer.set(container, networks);
    this.onChange();
  }

  end(container: string): void {
    if (this.#byContainer.delete(container)) this.onChange();
  }

  isJoining(container: string): boolean {
    return this.#byContainer.has(container);
  }

  /** Ends joins that have taken too long. */
  expire(): void {
    for (const [container, networks] of this.#byContainer)
      if ([...networks.values()].every((until) => until <= this.now())) this.end(container);
  }

  /** Ends all, since nobody will tell when they are over. */
  clear(): void {
    if (this.#byContainer.size === 0) return;
    this.#byContainer.clear();
    this.onChange();
  }

  /** Networks that a container is just joining. */
  networks(): string[] {
    return [...new Set([...this.#byContainer.values()].flatMap((networks) => [...networks.keys()]))];
  }
}
