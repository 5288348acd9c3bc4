import type { Forwarder } from "./forwarder.js";
import { forwardedQuestion, foundUnderSuffix, notUnderSuffix, type Asked, type Resolved } from "./resolved.js";
import type { Running } from "../sandbox.js";
import { searchSuffixes, type Searched } from "./search.js";

/** Asks for the suffixes and, unless that is known, for the label itself at once; the suffixes come first. */
export class SearchRace implements Running {
  readonly #running: Running[] = [];
  #searched: Searched | undefined;
  #isOver = false;

  /**
   * @param plain what is known of the label itself
   * @param askPlain asks for that
   * @param done called once, unless cancelled; may be called from inside
   */
  constructor(
    forwarder: Forwarder,
    private readonly asked: Asked,
    private plain: Resolved | undefined,
    askPlain: (done: (resolved: Resolved) => void) => Running,
    private readonly done: (resolved: Resolved) => void,
  ) {
    const suffixes = searchSuffixes(forwarder, asked.sandbox, forwardedQuestion(asked), (searched) => {
      this.#searched = searched;
      this.#settle();
    });
    this.#running.push(suffixes);
    if (this.#isOver || this.plain) return;
    const label = askPlain((resolved) => {
      this.plain = resolved;
      this.#settle();
    });
    this.#running.push(label);
  }

  cancel(): void {
    this.#isOver = true;
    for (const each of this.#running) each.cancel();
  }

  #settle(): void {
    if (this.#isOver || !this.#searched) return;
    const { found } = this.#searched;
    const resolved = found
      ? foundUnderSuffix(this.asked, found)
      : this.plain && notUnderSuffix(this.asked, this.#searched, this.plain);
    if (!resolved) return;
    this.cancel();
    this.done(resolved);
  }
}
