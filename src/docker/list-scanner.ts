/** What is read of one thing in a list. */
export interface Listed {
  id: string;
  /** Its first name, with Docker's slash. */
  name: string;
  state: string;
}

/** Characters kept of one text; no id, name or state is longer. */
const textAtMost = 1024;

/**
 * Reads ids, names and states from a list of Docker's, piece by piece as it comes: a container in it may have megabytes
 * of data, which are neither kept nor waited for. `[{"Id":"…","Names":["/…"],"State":"…",…},…]`
 */
export class ListScanner {
  readonly #decoder = new TextDecoder();
  #depth = 0;
  #inText = false;
  #escaped = false;
  /** Of the text at hand, or last read. */
  #text = "";
  /** The key of the thing, at its own level, whose value is being read. */
  #key = "";
  #isKey = false;
  #current: Listed | undefined;
  /** Where the next backslash of the piece at hand stands. */
  #slash = -1;
  isOver = false;

  constructor(private readonly onListed: (listed: Listed) => void) {}

  push(chunk: Buffer): void {
    const text = this.#decoder.decode(chunk, { stream: true });
    this.#slash = -1;
    for (let at = 0; at < text.length;) at = this.#inText ? this.#readText(text, at) : this.#readOther(text, at);
  }

  /** @returns where to go on */
  #readText(text: string, at: number): number {
    if (this.#escaped) {
      this.#escaped = false;
      this.#keep(text, at, at + 1);
      return at + 1;
    }
    const end = this.#special(text, at);
    this.#keep(text, at, end);
    if (text[end] === "\\") this.#escaped = true;
    else if (text[end] === '"') this.#endText();
    return end + 1;
  }

  /** Where the next quotation mark or backslash stands, or the end. */
  #special(text: string, at: number): number {
    if (this.#slash < at) this.#slash = found(text.indexOf("\\", at), text);
    return Math.min(found(text.indexOf('"', at), text), this.#slash);
  }

  #keep(text: string, from: number, to: number): void {
    if (this.#text.length < textAtMost && this.#depth <= 3)
      this.#text += text.slice(from, Math.min(to, from + textAtMost));
  }

  #endText(): void {
    this.#inText = false;
    const current = this.#current;
    if (!current) return;
    if (this.#depth === 2 && this.#isKey) this.#key = this.#text;
    else if (this.#depth === 2 && this.#key === "Id") current.id = this.#text;
    else if (this.#depth === 2 && this.#key === "State") current.state = this.#text;
    else if (this.#depth === 3 && this.#key === "Names" && current.name === "") current.name = this.#text;
  }

  #readOther(text: string, at: number): number {
    switch (text[at]) {
      case '"':
        this.#inText = true;
        this.#text = "";
        break;
      case "{":
      case "[":
        if (++this.#depth === 2) {
          this.#current = { id: "", name: "", state: "" };
          this.#isKey = true;
        }
        break;
      case "}":
      case "]":
        this.#close();
        break;
      case ":":
        if (this.#depth === 2) this.#isKey = false;
        break;
      case ",":
        if (this.#depth === 2) this.#isKey = true;
        break;
      case undefined:
        break;
    }
    return at + 1;
  }

  #close(): void {
    if (this.#depth === 2 && this.#current) {
      if (this.#current.id !== "") this.onListed(this.#current);
      this.#current = undefined;
    }
    if (--this.#depth === 0) this.isOver = true;
  }
}

function found(position: number, text: string): number {
  return position === -1 ? text.length : position;
}
