const heldAtMost = 1024 * 1024; // bytes
const writtenAtOnce = 64 * 1024; // bytes
const againAfter = 20; // ms, when there was no room
const afterFailure = 1000; // ms
const endsWithin = 2000; // ms

/** As `UnwaitedOutput.write`: bytes taken, or an errno, negative. Takes what it can at once, and never waits. */
export type Write = (bytes: Buffer) => number;

/**
 * Lines on their way to a log that may take its time, or be full or gone. They are held while there is room for them, dropped
 * and counted else; what comes first once the log takes lines again says how many are missing there.
 */
export class LogWriter {
  #held: Buffer[] = [];
  #bytes = 0;
  #lost = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param again the number with which `write` says that there is no room now, but may be soon
   * @param lossLine says how many lines are missing
   */
  constructor(
    private readonly write: Write,
    private readonly again: number,
    private readonly lossLine: (lines: number) => string,
  ) {}

  /** @param line with its line feed */
  add(line: string): void {
    const bytes = Buffer.from(line);
    // Once one is lost all are, up to the line that says so, or it would stand in the wrong place.
    if (this.#lost > 0 || this.#bytes + bytes.length > heldAtMost) this.#lost++;
    else this.#hold(bytes);
    if (this.#timer === undefined) this.#writeAll();
  }

  /** Writes what is held, for at most two seconds, and no longer than there is hope. */
  async end(): Promise<void> {
    const until = performance.now() + endsWithin;
    while (this.#writeAll() === "no room" && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, againAfter));
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #hold(bytes: Buffer): void {
    this.#held.push(bytes);
    this.#bytes += bytes.length;
  }

  #writeAll(): "written" | "no room" | "failed" {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (;;) {
      while (this.#held.length > 0) {
        const taken = this.write(this.#head());
        if (taken > 0) this.#taken(taken);
        else return this.#later(taken === 0 || taken === this.again);
      }
      if (this.#lost === 0) return "written";
      this.#hold(Buffer.from(this.lossLine(this.#lost)));
      this.#lost = 0;
    }
  }

  #later(isFull: boolean): "no room" | "failed" {
    this.#timer = setTimeout(() => this.#writeAll(), isFull ? againAfter : afterFailure).unref();
    return isFull ? "no room" : "failed";
  }

  /** Some of what is held, in one piece at the head. */
  #head(): Buffer {
    if (this.#held.length === 1) return this.#held[0]!;
    let [count, bytes] = [0, 0];
    while (count < this.#held.length && (count === 0 || bytes + this.#held[count]!.length <= writtenAtOnce))
      bytes += this.#held[count++]!.length;
    const head = Buffer.concat(this.#held.slice(0, count));
    this.#held.splice(0, count, head);
    return head;
  }

  #taken(bytes: number): void {
    this.#bytes -= bytes;
    const head = this.#held[0]!;
    if (bytes === head.length) this.#held.shift();
    else this.#held[0] = head.subarray(bytes);
  }
}
