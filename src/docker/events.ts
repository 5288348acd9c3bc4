/** An event, reduced to what it is about: it only tells where to look again. */
export interface DockerEvent {
  readonly type: "container" | "network";
  readonly action: string;
  readonly id: string;
  /** The container that joined or left a network. */
  readonly container: string | undefined;
}

const lineAtMost = 1 << 20; // characters; an event carries all labels of its container
/** How often it is tried whether a long line without an end is whole. */
const triesAtMost = 16;
const longLine = 16 << 10;

/** Cuts the event stream into lines and reads them. A line that cannot be read is skipped: the next listing makes up for it. */
export class EventLines {
  /** Of the line at hand; undefined when it is too long. */
  #pieces: string[] | undefined = [];
  #length = 0;
  #tries = 0;
  readonly #decoder = new TextDecoder();

  constructor(private readonly onEvent: (event: DockerEvent) => void) {}

  push(chunk: Buffer): void {
    const lines = this.#decoder.decode(chunk, { stream: true }).split("\n");
    const rest = lines.pop()!;
    for (const line of lines) {
      this.#add(line);
      this.#read();
      this.#begin([]);
    }
    this.#add(rest);
    // Some versions write no newline behind an event until the next one: try what is there.
    if (rest.trimEnd().endsWith("}") && (this.#length < longLine || ++this.#tries <= triesAtMost) && this.#read())
      this.#begin([]);
  }

  #add(piece: string): void {
    this.#length += piece.length;
    if (this.#length > lineAtMost) this.#pieces = undefined;
    this.#pieces?.push(piece);
  }

  #begin(pieces: string[]): void {
    this.#pieces = pieces;
    this.#length = this.#tries = 0;
  }

  /** @returns whether it was an event */
  #read(): boolean {
    const event = this.#pieces && readEvent(this.#pieces.join(""));
    if (event) this.onEvent(event);
    return event !== undefined;
  }
}

/**
 * Reads one event; undefined when it is not one. dockerd adds a container's labels to an event's attributes, so a label may
 * stand in the place of one.
 */
export function readEvent(line: string): DockerEvent | undefined {
  if (!line.trimEnd().endsWith("}")) return undefined;
  let raw: { Type?: unknown; Action?: unknown; Actor?: { ID?: unknown; Attributes?: Record<string, unknown> } };
  try {
    raw = JSON.parse(line) as typeof raw;
  } catch {
    return undefined;
  }
  const id = raw.Actor?.ID;
  if ((raw.Type !== "container" && raw.Type !== "network") || typeof raw.Action !== "string" || typeof id !== "string")
    return undefined;
  const container = raw.Type === "network" ? raw.Actor?.Attributes?.container : undefined;
  return { type: raw.Type, action: raw.Action, id, container: typeof container === "string" ? container : undefined };
}
