import { threadTime } from "../../../linux/thread-time.js";

/** Who changes rules usually makes several changes in a row, ms. */
const firstLookAfter = 500;
/** The same is looked at no sooner than this after the last time, ms. */
const sameAgainAfter = 2000;
/** All looks together take no more than one part in so many of this thread's time. */
const share = 10;

/** Looks at rules that have changed, one after the other, and seldom enough that nobody is kept busy by those who change theirs without pause. */
export class RuleLooks {
  /** When each is to be looked at, as performance.now() has it. */
  readonly #due = new Map<string, number>();
  readonly #lookedAt = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #freeAt = 0;
  /** The one that is being looked at, unless it is forgotten meanwhile. */
  #current: string | undefined;
  #looking = false;

  /** @param look must not reject */
  constructor(private readonly look: (id: string) => Promise<void>) {}

  /** The rules of one have changed. */
  soon(id: string): void {
    if (this.#due.has(id)) return;
    const now = performance.now();
    this.#due.set(id, Math.max(now + firstLookAfter, (this.#lookedAt.get(id) ?? -Infinity) + sameAgainAfter));
    this.#wait();
  }

  forget(id: string): void {
    this.#due.delete(id);
    this.#lookedAt.delete(id);
    if (this.#current === id) this.#current = undefined;
  }

  #wait(): void {
    if (this.#looking) return;
    clearTimeout(this.#timer);
    let next: string | undefined;
    for (const [id, at] of this.#due) if (next === undefined || at < this.#due.get(next)!) next = id;
    if (next === undefined) return;
    const id = next;
    this.#timer = setTimeout(
      () => void this.#lookAt(id),
      Math.max(0, Math.max(this.#due.get(id)!, this.#freeAt) - performance.now()),
    ).unref();
  }

  async #lookAt(id: string): Promise<void> {
    if (!this.#due.delete(id)) return this.#wait();
    this.#looking = true;
    this.#current = id;
    const began = threadTime();
    const done = this.look(id);
    const took = threadTime() - began; // the rest happens in other threads
    await done;
    const now = performance.now();
    if (this.#current === id) this.#lookedAt.set(id, now);
    this.#freeAt = now + took * (share - 1);
    this.#looking = false;
    this.#wait();
  }
}
