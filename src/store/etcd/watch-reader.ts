// What lines of etcd's watch mean; no I/O.
import type { SharedNews } from "../shared-store.js";
import { fieldsOf, headerOf, integerOf, listOf, pairOf, recordOf, textOf, type Fields, type Header } from "./wire.js";

/** What a line of a watch says. */
export type WatchLine =
  | { readonly kind: "created"; readonly header: Header }
  /** All changes of each revision, and the revision up to which nothing is missing. */
  | { readonly kind: "news"; readonly header: Header; readonly news: readonly SharedNews[] }
  /** Changes from a revision on that etcd has no more. */
  | { readonly kind: "compacted"; readonly revision: number }
  | { readonly kind: "canceled"; readonly reason: string };

type Change = SharedNews["changes"][number];

/**
 * Reads the lines of one watch, in order. A revision is told when it is complete: etcd sends its changes in one response, which
 * comes in several fragments if it is long.
 */
export class WatchReader {
  #revision = 0;
  #changes: Change[] = [];

  /** @param prefix of all keys of the store, which its users do not see */
  constructor(private readonly prefix: string) {}

  /** Throws NonsenseError. */
  read(result: Fields): WatchLine {
    const header = headerOf(result);
    const compacted = integerOf(result["compact_revision"]);
    if (compacted > 0) return { kind: "compacted", revision: compacted };
    if (result["canceled"] === true)
      return { kind: "canceled", reason: textOf(result["cancel_reason"]) || "no reason given" };
    if (result["created"] === true) return { kind: "created", header };
    const events = listOf(result["events"]);
    const news = events.flatMap((event) => this.#take(event));
    if (result["fragment"] !== true) news.push(...this.#complete());
    if (events.length === 0 && this.#changes.length === 0) news.push({ revision: header.revision, changes: [] });
    return { kind: "news", header, news };
  }

  /** @returns the revision before, when a later one begins */
  #take(value: unknown): readonly SharedNews[] {
    const event = fieldsOf(value);
    const pair = pairOf(event["kv"]);
    const record = event["type"] === "DELETE" ? undefined : recordOf(pair, this.prefix);
    const before = pair.revision === this.#revision ? [] : this.#complete();
    this.#revision = pair.revision;
    this.#changes.push({ key: pair.key.slice(this.prefix.length), record });
    return before;
  }

  #complete(): readonly SharedNews[] {
    if (this.#changes.length === 0) return [];
    const changes = this.#changes;
    this.#changes = [];
    return [{ revision: this.#revision, changes }];
  }
}
