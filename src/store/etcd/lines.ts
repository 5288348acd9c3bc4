/** Bytes of a line, at most: etcd's fragments have 2 MB, a third more in base64. */
const lineAtMost = 16 * 1024 * 1024;

/** Cuts what comes in into lines of JSON. */
export class Lines {
  #parts: Buffer[] = [];
  #size = 0;

  constructor(private readonly onLine: (line: unknown) => void) {}

  /** @returns what is wrong with it, after which nothing more may be given */
  take(bytes: Buffer): Error | undefined {
    let rest = bytes;
    for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
      this.#keep(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
      const fault = this.#finish();
      if (fault) return fault;
    }
    this.#keep(rest);
    return this.#size > lineAtMost ? new Error(`a line of more than ${lineAtMost} bytes came`) : undefined;
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#parts.push(part);
    this.#size += part.length;
  }

  #finish(): Error | undefined {
    if (this.#size === 0) return undefined;
    const text = Buffer.concat(this.#parts).toString();
    this.#parts = [];
    this.#size = 0;
    let line: unknown;
    try {
      line = JSON.parse(text);
    } catch {
      return new Error(`a line that is not JSON came: ${JSON.stringify(text.slice(0, 80))}`);
    }
    this.onLine(line);
    return undefined;
  }
}
