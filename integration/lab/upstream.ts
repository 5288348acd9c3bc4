import type { Namespaces } from "./namespaces.js";
import { HelperProcess } from "./helper-process.js";
import { helperProgram } from "./root.js";
import type { UpstreamRequest } from "./upstream-child.js";
import { emptyScript, type Forgery, type SeenQuery, type UpstreamScript } from "./upstream-script.js";

/** Where an upstream listens. */
export interface UpstreamOptions {
  /** Default the outside's first address. */
  address?: string;
  /** Default 53. */
  port?: number;
  /** As nice(1) has it: in a measurement it must not wait for a processor that another machine's would not wait for. Default 0. */
  niceness?: number;
}

/** A DNS server outside the host, over UDP and TCP, that does what the test says. Unknown names do not exist. */
export class Upstream {
  #script = emptyScript();

  private constructor(
    private readonly helper: HelperProcess<UpstreamRequest, SeenQuery[]>,
    readonly address: string,
    readonly port: number,
  ) {}

  /** Starts a server in a network namespace. */
  static async start(namespaces: Namespaces, netns: string, where: Required<UpstreamOptions>): Promise<Upstream> {
    const argv = namespaces.enter(
      ["nice", "-n", String(where.niceness), process.execPath, helperProgram("upstream-child.js")],
      netns,
    );
    const upstream = new Upstream(new HelperProcess(argv), where.address, where.port);
    await upstream.start();
    return upstream;
  }

  /** Sets what a name has of a type; an array makes several records. Other data as dns-packet has it. */
  answer(
    name: string,
    type: string,
    data: string | object | (string | object)[],
    options: { ttl?: number } = {},
  ): Promise<void> {
    const owner = name.toLowerCase();
    const others = this.#script.records.filter((record) => record.name !== owner || record.type !== type);
    const added = [data].flat().map((value: unknown) => ({ name: owner, type, ttl: options.ttl ?? 60, data: value }));
    return this.#change({ records: [...others, ...added] });
  }

  /** Answers a name with a response code. */
  rcode(name: string, rcode: string): Promise<void> {
    return this.#change({ rcodes: { ...this.#script.rcodes, [name.toLowerCase()]: rcode } });
  }

  /** Answers nothing (true), all (false), or all but one more name. */
  silence(what: boolean | string): Promise<void> {
    if (typeof what === "boolean") return this.#change({ silent: what, ...(!what && { silentNames: [] }) });
    return this.#change({ silentNames: [...this.#script.silentNames, what.toLowerCase()] });
  }

  /** Answers this much later. */
  delay(ms: number): Promise<void> {
    return this.#change({ delayMs: ms });
  }

  /** Answers a name truncated and empty over UDP, in full over TCP. */
  truncate(name: string): Promise<void> {
    return this.#change({ truncatedNames: [...this.#script.truncatedNames, name.toLowerCase()] });
  }

  /** Answers a name with a forged reply, and with the true one after it if asked to. */
  forge(name: string, forgery: Forgery, options: { thenTruth?: boolean } = {}): Promise<void> {
    const forgeries = {
      ...this.#script.forgeries,
      [name.toLowerCase()]: { forgery, thenTruth: options.thenTruth ?? false },
    };
    return this.#change({ forgeries });
  }

  /** Gives every name without records of its own this address, as providers do that want to be asked again; undefined ends it. */
  hijack(address: string | undefined): Promise<void> {
    return this.#change({ hijack: address });
  }

  /** Drops queries with EDNS, or answers them with a bare error. */
  withEdns(what: UpstreamScript["withEdns"]): Promise<void> {
    return this.#change({ withEdns: what });
  }

  /** All queries received since the last `clear`, in order. */
  queries(): Promise<SeenQuery[]> {
    return this.helper.call({ do: "recall" });
  }

  /** Forgets the queries received. */
  async clear(): Promise<void> {
    await this.helper.call({ do: "forget" });
  }

  /** Forgets what was said about answers. */
  async reset(): Promise<void> {
    await this.#change(emptyScript());
  }

  /** Closes the sockets: queries are refused. */
  async stop(): Promise<void> {
    await this.helper.call({ do: "close" });
  }

  /** Listens again. */
  async start(): Promise<void> {
    await this.helper.call({ do: "listen", address: this.address, port: this.port });
  }

  async #change(part: Partial<UpstreamScript>): Promise<void> {
    this.#script = { ...this.#script, ...part };
    await this.helper.call({ do: "follow", script: this.#script });
  }
}
