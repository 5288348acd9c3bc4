import { textOfKey } from "../wire/name.js";
import type { QueryLogEntry, Source } from "../protocol.js";
import type { Question } from "../wire/query.js";
import { rcodeOf } from "../wire/reply-check.js";
import { since, type Resolved } from "../resolve/resolved.js";
import type { Sandbox } from "../sandbox.js";

const entriesAtMost = 256;

/** Queries on their way to the daemon's log. Serving never waits for it: what is not taken is dropped and counted. */
export class QueryLog {
  enabled = false;
  /** Called when there is something to hand over, and was nothing before. */
  onWaiting: () => void = () => undefined;
  #entries: QueryLogEntry[] = [];
  #dropped = 0;

  record(sandbox: Sandbox, question: Question, transport: "udp" | "tcp", resolved: Resolved, began: number): void {
    if (!this.enabled) return;
    if (!this.isWaiting) this.onWaiting();
    if (this.#entries.length >= entriesAtMost) {
      this.#dropped++;
      return;
    }
    this.#entries.push({
      sandbox: sandbox.record.id,
      container: sandbox.record.containerName,
      name: textOfKey(question.key),
      type: question.type,
      transport,
      rcode: rcodeOf(resolved.reply),
      source: describeSource(resolved.source),
      took: since(began),
    });
  }

  get isWaiting(): boolean {
    return this.#entries.length > 0 || this.#dropped > 0;
  }

  /** Hands over what has gathered, if anything has. */
  flush(send: (queries: readonly QueryLogEntry[], dropped: number) => boolean): void {
    if (!this.isWaiting) return;
    const queries = this.#entries;
    const dropped = this.#dropped;
    this.#entries = [];
    this.#dropped = send(queries, dropped) ? 0 : dropped + queries.length;
  }
}

/** A source in a few words. */
export function describeSource(source: Source): string {
  switch (source.kind) {
    case "local":
      return `network ${source.network}`;
    case "docker":
      return "Docker's resolver";
    case "upstream":
      return `upstream ${source.upstream.ip}`;
    case "policy":
    case "failure":
      return source.reason;
  }
}
