/** How long a server that cannot take EDNS is asked without it, ms; then it is tried again. */
const plainFor = 300_000;
/** How often it must have answered without EDNS what it left unanswered with EDNS: any one datagram may be lost. */
const silencesAtLeast = 2;

/**
 * Whether a server takes queries with EDNS, as its answers have shown. Some drop such a query, or refuse it without saying
 * why (RFC 6891 section 7): they are asked without, and remembered for a while.
 */
export class EdnsSupport {
  #takesIt = false;
  #silences = 0;
  #plainUntil = -Infinity;

  /** Whether queries go without EDNS from the start. @param now ms */
  isPlain(now: number): boolean {
    return now < this.#plainUntil;
  }

  /** Whether it has answered queries with EDNS, and left none unanswered since. */
  get isProven(): boolean {
    return this.#takesIt;
  }

  /** It answered a query with EDNS. */
  proven(): void {
    this.#takesIt = true;
    this.#silences = 0;
  }

  /** It answered without EDNS what it had refused with EDNS. @param now ms */
  refused(now: number): void {
    this.#plainUntil = now + plainFor;
  }

  /** It answered without EDNS what it had left unanswered with EDNS. @param now ms */
  ignored(now: number): void {
    if (++this.#silences >= silencesAtLeast) this.#plainUntil = now + plainFor;
  }

  /** It left a question unanswered: another server, or another way to it, may be behind the address by now. */
  doubt(): void {
    this.#takesIt = false;
  }
}
