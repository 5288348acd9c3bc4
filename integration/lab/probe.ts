import { decodeResponse, encodeQuery, type DnsResponse, type QueryShape } from "./dns-message.js";
import { HelperProcess } from "./helper-process.js";
import type { Namespaces } from "./namespaces.js";
import type { ProbeReply, ProbeRequest } from "./probe-child.js";
import { helperProgram } from "./root.js";

/** Where and how bytes are sent. */
export interface SendOptions {
  tcp?: boolean;
  /** Default 127.0.0.11, as in a container. */
  server?: string;
  port?: number;
  /** Default 2 s; there are no retries. */
  timeoutMs?: number;
}

/** How a name is asked for. */
export interface DigOptions extends SendOptions, QueryShape {}

/** What is asked in a burst or a steady flow; the type's default is A. */
export interface TallyOptions extends DigOptions {
  type?: string;
}

/** How a burst or a steady flow of one query went. */
export interface QueryTally {
  sent: number;
  /** Answers by response code. */
  rcodes: Record<string, number>;
  /** What failed without an answer. */
  errors: string[];
  slowestMs: number;
}

/**
 * Asks DNS questions from inside one network namespace, through one small process that stays there.
 * That process keeps the namespace alive, so it goes away with `release`, and by itself when the container's first process ends.
 */
export class Probe {
  readonly #helper: HelperProcess<ProbeRequest, ProbeReply>;

  constructor(namespaces: Namespaces, netns: string, containerPid?: number) {
    const watched = containerPid === undefined ? [] : [String(containerPid)];
    this.#helper = new HelperProcess(
      namespaces.enter([process.execPath, helperProgram("probe-child.js"), ...watched], netns),
    );
  }

  /** Whether the process in the namespace is there. */
  get alive(): boolean {
    return this.#helper.alive;
  }

  /** Sends `bytes` as they are and returns the first message that comes back. */
  async query(bytes: Uint8Array, options: SendOptions = {}): Promise<Buffer> {
    return Buffer.from((await this.#send(bytes, options)).bytes);
  }

  /** Asks for a name once; rejects when no answer comes. */
  async dig(name: string, type = "A", options: DigOptions = {}): Promise<DnsResponse> {
    const { bytes, elapsedMs } = await this.#send(encodeQuery(name, type, options), options);
    return decodeResponse(Buffer.from(bytes), elapsedMs);
  }

  /** Asks for a name `count` times at once. */
  async burst(name: string, count: number, options: TallyOptions = {}): Promise<QueryTally> {
    const tally = newTally();
    await Promise.all(Array.from({ length: count }, () => this.#digInto(tally, name, options)));
    return tally;
  }

  /** Asks for a name every `everyMs` until the returned function is called, which tells how it went. */
  digSteadily(name: string, options: TallyOptions & { everyMs?: number } = {}): () => Promise<QueryTally> {
    const tally = newTally();
    const asked: Promise<void>[] = [];
    const ask = () => asked.push(this.#digInto(tally, name, options));
    ask();
    const timer = setInterval(ask, options.everyMs ?? 10);
    return async () => {
      clearInterval(timer);
      await Promise.all(asked);
      return tally;
    };
  }

  /** Leaves the namespace. */
  release(): Promise<void> {
    return this.#helper.release();
  }

  async #digInto(tally: QueryTally, name: string, options: TallyOptions): Promise<void> {
    tally.sent++;
    try {
      const { rcode, elapsedMs } = await this.dig(name, options.type ?? "A", options);
      tally.rcodes[rcode] = (tally.rcodes[rcode] ?? 0) + 1;
      tally.slowestMs = Math.max(tally.slowestMs, elapsedMs);
    } catch (error) {
      tally.errors.push((error as Error).message);
    }
  }

  #send(bytes: Uint8Array, options: SendOptions): Promise<ProbeReply> {
    const { tcp = false, server = "127.0.0.11", port = 53, timeoutMs = 2_000 } = options;
    return this.#helper.call({ bytes, tcp, server, port, timeoutMs });
  }
}

function newTally(): QueryTally {
  return { sent: 0, rcodes: {}, errors: [], slowestMs: 0 };
}
