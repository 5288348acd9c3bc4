import type { SourceName, ToServer } from "../../dns/protocol.js";
import { MESSAGE_SIZE } from "../../linux/packet-channel.js";

/** Messages sent in one go when a whole table is sent, and characters: about a millisecond's worth. */
const slice = 200;
const sliceSize = 128 << 10;

/** Of JSON, at most. */
const bytesOfCharacter = 3;

interface Entry {
  readonly message: ToServer;
  readonly json: string;
}

/**
 * What the server should know, by key. A server that connects gets everything, source by source as each is complete, in
 * slices, so that neither side stalls; a change is sent at once from then on. What is of no source is sent first.
 */
export class TableMirror {
  // Networks are kept apart: they are sent before what refers to them.
  readonly #networks = new Map<string, Entry>();
  readonly #rest = new Map<string, Entry>();
  #send: ((message: ToServer) => void) | undefined;
  /** Sources the server is told of. */
  readonly #told = new Set<SourceName>();

  /** Throws a RangeError for what is too large for a message: the server keeps what it was told before. */
  put(key: string, message: ToServer): void {
    const map = this.#mapOf(message);
    const json = JSON.stringify(message);
    if (json.length * bytesOfCharacter > MESSAGE_SIZE)
      throw new RangeError(`${key} takes ${json.length} characters to tell`);
    if (map.get(key)?.json === json) return;
    map.set(key, { message, json });
    this.#tellIfDue(message, message);
  }

  /** @param gone what to tell the server, if it was told of the key at all */
  remove(key: string, gone?: ToServer): void {
    const known = this.#networks.get(key) ?? this.#rest.get(key);
    this.#networks.delete(key);
    this.#rest.delete(key);
    if (known && gone) this.#tellIfDue(known.message, gone);
  }

  /** @param about what decides whose it is */
  #tellIfDue(about: ToServer, message: ToServer): void {
    const source = sourceOf(about);
    if (source === undefined || this.#told.has(source)) this.#send?.(message);
  }

  get(key: string): ToServer | undefined {
    return (this.#networks.get(key) ?? this.#rest.get(key))?.message;
  }

  /** Sends what is of no source to a server that has just connected, then every change of it. */
  connect(send: (message: ToServer) => void): void {
    this.#send = send;
    this.#told.clear();
    for (const { message } of this.#rest.values()) if (sourceOf(message) === undefined) send(message);
  }

  /**
   * Sends everything of a source to the server that is connected, then every change of it.
   * @param done called when all is sent, unless the server is gone by then
   */
  tell(source: SourceName, done: () => void): void {
    const send = this.#send;
    if (!send) return;
    this.#told.add(source);
    const keys = [...this.#keysOf(source)].values();
    const sendSlice = () => {
      if (this.#send !== send) return;
      for (let count = 0, size = 0; count < slice && size < sliceSize; count++) {
        const { value: key, done: isLast } = keys.next();
        if (isLast === true) return done();
        const entry = this.#networks.get(key) ?? this.#rest.get(key);
        if (!entry) continue;
        send(entry.message);
        size += entry.json.length;
      }
      setImmediate(sendSlice);
    };
    sendSlice();
  }

  disconnect(): void {
    this.#send = undefined;
  }

  /** Networks first, then what is on them: whoever told of it before, the server could not keep it without the network. */
  *#keysOf(source: SourceName): Generator<string> {
    for (const [key, { message }] of this.#networks) if (sourceOf(message) === source) yield key;
    for (const [key, { message }] of this.#rest) {
      const own = sourceOf(message);
      if (own === source || (own !== undefined && this.#told.has(own) && this.#networkSource(message) === source))
        yield key;
    }
  }

  #networkSource(message: ToServer): SourceName | undefined {
    const network = message.kind === "endpoint" && this.#networks.get(`network ${message.endpoint.network}`)?.message;
    return network ? sourceOf(network) : undefined;
  }

  #mapOf(message: ToServer): Map<string, Entry> {
    return message.kind === "network" ? this.#networks : this.#rest;
  }
}

/** Undefined for what is of none. */
function sourceOf(message: ToServer): SourceName | undefined {
  switch (message.kind) {
    case "network":
      return message.network.source;
    case "endpoint":
      return message.endpoint.source;
    case "sandbox":
      return message.sandbox.source;
    default:
      return undefined;
  }
}
