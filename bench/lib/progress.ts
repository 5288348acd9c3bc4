/** Tells a person at a terminal what is under way, in one line that is written over. */
export class Progress {
  readonly #isTerminal = process.stderr.isTTY;

  show(text: string): void {
    process.stderr.write(this.#isTerminal ? `\r\x1b[K${text}` : `${text}\n`);
  }

  clear(): void {
    if (this.#isTerminal) process.stderr.write("\r\x1b[K");
  }
}
