import type { Logger } from "pino";
import type { QueryLogEntry } from "../../dns/protocol.js";
import { Allowance } from "./allowance.js";

/** A server hands over its log ten times a second. */
const logsEach = 30; // ms
const logsAtOnce = 200;

/** Writes down what servers say they were asked, as often as they may say so. */
export class QueryLog {
  readonly #turns = new Allowance(logsEach, logsAtOnce);

  constructor(private readonly log: Logger) {}

  /** @returns whether it came no more often than it may */
  write(queries: readonly QueryLogEntry[], dropped: number): boolean {
    if (!this.#turns.take()) return false;
    for (const query of queries) this.log.info({ query }, "query");
    if (dropped > 0) this.log.warn({ dropped }, "queries were left out of the log");
    return true;
  }
}
