import { PontoonError } from "../../common/errors.js";
import type { Follower, SharedNews } from "./shared-store.js";

/** Revisions that are kept for those who begin to follow from an earlier one. */
const keptAtMost = 1_000;

/** The newest changes, and who is told of them. What is told comes after the call that made it, never within. */
export class NewsLog {
  readonly #followers = new Set<{ drain(): void }>();
  /** Ascending, without a gap. */
  #kept: SharedNews[] = [];

  /** @param revision the newest one: nothing is known of how it came about */
  constructor(private revision: number) {}

  /** Takes what the next revision has changed. */
  add(news: SharedNews): void {
    this.revision = news.revision;
    this.#kept.push(news);
    if (this.#kept.length > 2 * keptAtMost) this.#kept = this.#kept.slice(-keptAtMost);
    for (const follower of this.#followers) queueMicrotask(() => follower.drain());
  }

  /** As SharedStore.follow() promises. */
  follow(prefix: string, after: number, follower: Follower): () => void {
    let told = after;
    const stop = (): void => void this.#followers.delete(entry);
    const entry = {
      drain: (): void => {
        if (!this.#followers.has(entry)) return;
        const fault = this.#faultOf(told);
        if (fault) {
          stop();
          return follower.onLost(fault);
        }
        for (const news of this.#after(told)) {
          if (!this.#followers.has(entry)) return;
          told = news.revision;
          follower.onNews({ ...news, changes: news.changes.filter(({ key }) => key.startsWith(prefix)) });
        }
      },
    };
    this.#followers.add(entry);
    queueMicrotask(() => entry.drain());
    return stop;
  }

  /** Nobody is told anything more. */
  close(): void {
    this.#followers.clear();
  }

  #after(revision: number): readonly SharedNews[] {
    return this.#kept.slice(Math.max(0, this.#kept.length - (this.revision - revision)));
  }

  #faultOf(told: number): PontoonError | undefined {
    if (told > this.revision)
      return new PontoonError(
        "STORE_REPLACED",
        "store",
        `revision ${told} was told and the store is at ${this.revision} now`,
      );
    const first = this.revision - this.#kept.length;
    if (told >= first) return undefined;
    const message = `what changed after revision ${told} is not kept, only what did after ${first}: everything is read again`;
    return new PontoonError("STORE_COMPACTED", String(told), message);
  }
}
