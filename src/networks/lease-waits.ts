/** Whoever waits for an endpoint to have an address. */
export class LeaseWaits {
  readonly #waits = new Map<string, Set<(error?: Error) => void>>();

  /**
   * Resolves when {@link end} is called without an error, rejects with its error, or after `time` ms with that of `late`.
   * @param id of the endpoint
   */
  wait(id: string, time: number, late: () => Error): Promise<void> {
    return new Promise((resolve, reject) => {
      const waits = this.#waits.get(id) ?? new Set();
      this.#waits.set(id, waits);
      const end = (error?: Error) => {
        clearTimeout(timer);
        waits.delete(end);
        if (waits.size === 0 && this.#waits.get(id) === waits) this.#waits.delete(id);
        if (error === undefined) resolve();
        else reject(error);
      };
      const timer = setTimeout(() => end(late()), time);
      waits.add(end);
    });
  }

  end(id: string, error?: Error): void {
    for (const end of this.#waits.get(id) ?? []) end(error);
  }

  endAll(error: Error): void {
    for (const id of [...this.#waits.keys()]) this.end(id, error);
  }
}
