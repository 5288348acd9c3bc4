import type { ToServer } from "../../dns/protocol.js";
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
 * What the server should know, by key. A change is sent at once; a server that connects gets everything, in slices,
 * so that neither side stalls.
 */
export class TableMirror {
  // Networks are kept apart: they are sent before what refers to them.
  readonly #networks = new Map<string, Entry>();
  readonly #rest = new Map<string, Entry>();
  #send: ((message: ToServer) => void) | undefined;

  /** Throws a RangeError for what is too large for a message: the server keeps what it was told before. */
  put(key: string, message: ToServer): void {
    const map = this.#mapOf(message);
    const json = JSON.stringify(message);
    if (json.length * bytesOfCharacter > MESSAGE_SIZE)
      throw new RangeError(`${key} takes ${json.length} characters to tell`);
    if (map.get(key)?.json === json) return;
    map.set(key, { message, json });
    this.#send?.(message);
  }

  /** @param gone what to tell the server, if it was told of the key at all */
  remove(key: string, gone?: ToServer): void {
    const known = this.#networks.delete(key) || this.#rest.delete(key);
    if (known && gone) this.#send?.(gone);
  }

  get(key: string): ToServer | undefined {
    return (this.#networks.get(key) ?? this.#rest.get(key))?.message;
  }

  /** Sends everything to a server that has just connected, then every change. @param done called when all is sent */
  connect(send: (message: ToServer) => void, done: () => void): void {
    this.#send = send;
    const keys = [...this.#networks.keys(), ...this.#rest.keys()].values();
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

  #mapOf(message: ToServer): Map<string, Entry> {
    return message.kind === "network" ? this.#networks : this.#rest;
  }
}
