import type { Reconciler } from "../reconciler.js";
import type { Remote } from "./remote.js";

/** Until a driver is asked again for a link that it could not make, ms; it doubles. */
const pause = { first: 15_000, atMost: 600_000 };

/** Has drivers make links anew that were lost, again and again until they have. */
export class Renewal {
  readonly #lost = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #next: number = pause.first;
  #isStopped = false;

  /** @param onDone sandboxes may be otherwise */
  constructor(
    private readonly remote: Pick<Remote, "renew">,
    private readonly reconciler: Pick<Reconciler, "background" | "onLost">,
    private readonly onDone: () => void,
  ) {
    reconciler.onLost = (ids) => {
      for (const id of ids) this.#lost.add(id);
      this.#soon(0);
    };
  }

  /** Can be called twice. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #soon(time: number): void {
    clearTimeout(this.#timer);
    if (!this.#isStopped) this.#timer = setTimeout(() => void this.#renew(), time).unref();
  }

  async #renew(): Promise<void> {
    for (const id of [...this.#lost])
      await this.reconciler.background("a link that was lost could not be made anew; it is tried again", async () => {
        await this.remote.renew([id]);
        this.#lost.delete(id);
      });
    this.onDone();
    if (this.#lost.size > 0) this.#soon(this.#next);
    this.#next = this.#lost.size > 0 ? Math.min(2 * this.#next, pause.atMost) : pause.first;
  }
}
