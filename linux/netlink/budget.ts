import { PontoonError } from "../../common/errors.js";
import { threadTime } from "../thread-time.js";

/** What may be read before it is given up. */
export interface Limits {
  readonly bytes: number;
  readonly objects: number;
  /** Of the processor, from now on, ms. */
  readonly time: number;
}

/** Counts what is read of lists that others may have made very long. */
export class Budget {
  #bytes: number;
  #objects: number;
  readonly #until: number;

  /** @param subject whose lists these are, for the error */
  constructor(
    private readonly subject: string,
    { bytes, objects, time }: Limits,
    private readonly now: () => number = threadTime,
  ) {
    this.#bytes = bytes;
    this.#objects = objects;
    this.#until = now() + time;
  }

  /** Throws RULES_TOO_MANY when this is more than is left. */
  spend(bytes: number, objects = 1): void {
    this.#bytes -= bytes;
    this.#objects -= objects;
    const gone =
      this.#bytes < 0 ? "bytes" : this.#objects < 0 ? "objects" : this.now() > this.#until ? "time" : undefined;
    if (gone !== undefined)
      throw new PontoonError(
        "RULES_TOO_MANY",
        this.subject,
        `${this.subject} has more firewall rules than are read (${gone} used up)`,
      );
  }
}
