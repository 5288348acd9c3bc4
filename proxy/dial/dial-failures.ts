import { getSystemErrorName } from "node:util";

/** The reason why connections fail is told no more often than this, ms. */
const toldEvery = 60_000;

/** What a container did not take of one publication, and why. */
export class DialFailures {
  count = 0;
  /** Name of the last errno that is known, such as ECONNREFUSED. */
  last: string | undefined;
  #toldAt = -Infinity;

  /** @param tell called at the first failure, and now and then while there are more */
  constructor(private readonly tell: (reason: string) => void) {}

  /** @param errno of the attempt; undefined when it was given up for a reason that is not the container's */
  add(errno: number | undefined): void {
    this.count++;
    if (errno === undefined) return;
    this.last = nameOf(errno);
    const now = performance.now();
    if (now - this.#toldAt < toldEvery) return;
    this.#toldAt = now;
    this.tell(this.last);
  }
}

function nameOf(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`; // Node does not know all of Linux's
  }
}
