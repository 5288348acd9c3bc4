import { encodeQuery } from "./dns-message.js";
import type { FlowReply, FlowRequest, FlowTally } from "./flow-child.js";
import { HelperProcess } from "./helper-process.js";
import type { Namespaces } from "./namespaces.js";
import { helperProgram } from "./root.js";

/** What is asked, and how often. */
export interface FlowOptions {
  /** Queries a second. Default 20,000. */
  rate?: number;
}

/**
 * An even flow of one query over UDP to 127.0.0.11, in which every single query is followed to its answer: each has an
 * id of its own, and the receive buffers hold whatever may come at once.
 */
export class Flow {
  readonly #helper: HelperProcess<FlowRequest, FlowReply>;

  private constructor(namespaces: Namespaces, netns: string) {
    this.#helper = new HelperProcess(namespaces.enter([process.execPath, helperProgram("flow-child.js")], netns));
  }

  /** Starts to ask for the A record of a name that has one, in a network namespace. */
  static async start(
    namespaces: Namespaces,
    netns: string,
    name: string,
    { rate = 20_000 }: FlowOptions = {},
  ): Promise<Flow> {
    const flow = new Flow(namespaces, netns);
    await flow.#helper.call({ do: "start", query: encodeQuery(name, "A"), rate });
    return flow;
  }

  /** How it has gone so far; what was asked a moment ago counts as unanswered. */
  async soFar(): Promise<FlowTally> {
    return (await this.#helper.call({ do: "look" }))!;
  }

  /** Stops asking, waits until no answer comes any more, asks once more for what had none, and tells how all went. */
  async stop(): Promise<FlowTally> {
    const tally = (await this.#helper.call({ do: "stop" }))!;
    await this.#helper.release();
    return tally;
  }
}

/**
 * Queries that were lost although there was room for them. A server's buffer holds what comes in a second at 20,000
 * queries a second; on a machine that is too busy to start a process in that time the rest is the kernel's loss.
 */
export function lostWithRoom({ lost, dropped, longestSilence }: FlowTally): number {
  const hasOverflowed = longestSilence > 500; // before that the buffer must have had room
  return hasOverflowed ? Math.max(0, lost - dropped) : lost;
}
