/** ms of the first wait, and of the longest. */
const [shortest, longest] = [100, 5_000];

/** How long to wait between attempts: twice as long each time, less a random part, so that hosts do not come back at once. */
export class BackOff {
  #next = shortest;

  /** It went well: the next wait is a short one again. */
  reset(): void {
    this.#next = shortest;
  }

  /** @returns ms to wait now, after one more failure */
  wait(): number {
    const most = this.#next;
    this.#next = Math.min(longest, most * 2);
    return most * (0.5 + Math.random() / 2);
  }
}
