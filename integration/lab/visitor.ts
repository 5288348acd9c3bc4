import { HelperProcess } from "./helper-process.js";
import { helperProgram } from "./root.js";
import type { Place, StormTally, VisitorReply, VisitorRequest } from "./visitor-child.js";

export type { Place, StormTally } from "./visitor-child.js";

/** One connection, or one client's datagrams, that go on. */
export interface Visit {
  /** Says something and returns what comes back; rejects when the connection has ended. */
  say(text: string): Promise<string>;
  end(): Promise<void>;
}

/** A client of published ports, which answer with what they are told. It ends with its host at the latest. */
export class Visitor {
  readonly #helper: HelperProcess<VisitorRequest, VisitorReply>;

  /** @param enter the command line that brings a program to where the client is */
  constructor(enter: (argv: string[]) => string[]) {
    this.#helper = new HelperProcess(enter([process.execPath, helperProgram("visitor-child.js")]));
  }

  /** Connects, says something and returns what comes back; rejects when it is refused. */
  async talk(place: Place, text: string): Promise<string> {
    return (await this.#helper.call({ kind: "talk", place, text })) as string;
  }

  /** Connects and stays. */
  async stay(place: Place): Promise<Visit> {
    const visit = (await this.#helper.call({ kind: "stay", place })) as number;
    return {
      say: async (text) => (await this.#helper.call({ kind: "say", visit, text })) as string,
      end: async () => void (await this.#helper.call({ kind: "end", visit })),
    };
  }

  /** Connects from several clients, each again and again, until {@link calm}. TCP only. */
  async storm(place: Place): Promise<void> {
    await this.#helper.call({ kind: "storm", place });
  }

  /** How the storm goes. */
  async tally(): Promise<StormTally> {
    return (await this.#helper.call({ kind: "tally" })) as StormTally;
  }

  /** Ends the storm. */
  async calm(): Promise<StormTally> {
    return (await this.#helper.call({ kind: "calm" })) as StormTally;
  }
}
