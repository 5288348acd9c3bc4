/** An event, reduced to what it is about: it only says "look again". */
export interface DockerEvent {
  readonly type: "container" | "network";
  readonly action: string;
  readonly id: string;
  /** The container that joined or left a network. */
  readonly container: string | undefined;
}

const lineAtMost = 4 << 20; // characters; an event carries all labels of its container

/** Cuts the event stream into lines and reads them. A line that cannot be read is skipped: the next listing makes up for it. */
export class EventLines {
  #rest = "";
  readonly #decoder = new TextDecoder();

  constructor(private readonly onEvent: (event: DockerEvent) => void) {}

  push(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > lineAtMost) this.#rest = "";
    for (const line of lines) {
      const event = readEvent(line);
      if (event) this.onEvent(event);
    }
    // Some versions write no newline behind an event until the next one: try what is there.
    const event = readEvent(this.#rest);
    if (event) {
      this.#rest = "";
      this.onEvent(event);
    }
  }
}

/** Reads one event; undefined when it is not one. Attributes may be overruled by labels of the same name (facts 6.1). */
export function readEvent(line: string): DockerEvent | undefined {
  if (!line.trimEnd().endsWith("}")) return undefined;
  let raw: { Type?: unknown; Action?: unknown; Actor?: { ID?: unknown; Attributes?: Record<string, unknown> } };
  try {
    raw = JSON.parse(line) as typeof raw;
  } catch {
    return undefined;
  }
  const id = raw.Actor?.ID;
  if ((raw.Type !== "container" && raw.Type !== "network") || typeof raw.Action !== "string" || typeof id !== "string") return undefined;
  const container = raw.Type === "network" ? raw.Actor?.Attributes?.container : undefined;
  return { type: raw.Type, action: raw.Action, id, container: typeof container === "string" ? container : undefined };
}
