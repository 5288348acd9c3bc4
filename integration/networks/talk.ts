import { fileURLToPath } from "node:url";
import type { HelperProcess } from "../lab/helper-process.js";
import type { TalkRequest, Target, Transport } from "./talk-child.js";

const program = fileURLToPath(new URL("talk-child.js", import.meta.url));
/** What ought to be answered may take so long on a busy machine, ms. */
const patience = 10_000;
/** What ought not to be answered is given so long, ms: the others answer within a few. */
const impatience = 1_000;

type Host = { helper(file: string, netns?: string): HelperProcess<TalkRequest, string> };

/** Asks, and is answered, from network namespaces of a host. They end with the host at the latest. */
export class Talk {
  readonly #helpers = new Map<string, HelperProcess<TalkRequest, string>>();

  readonly #namespaces = new Map<string, string>();

  constructor(private readonly host: Host) {}

  /** Gives another namespace of the host a name. */
  name(place: string, netns: string): void {
    this.#namespaces.set(place, netns);
  }

  /** Answers at these ports, TCP and UDP. @param place `host`, the name of an outside, or of a sandbox */
  async serve(place: string, ...ports: readonly number[]): Promise<void> {
    await this.#helper(place).call({ kind: "serve", name: place, ports });
  }

  /** What ran there does so no more: its namespace may be another now. */
  async end(place: string): Promise<void> {
    await this.#helpers.get(place)?.release();
    this.#helpers.delete(place);
  }

  /** @returns who has answered, and whom it saw; "" when nobody did. Waits for long. */
  ask(place: string, target: string, own: Pick<Target, "from" | "fromPort"> = {}): Promise<string> {
    return this.#helper(place).call({ kind: "ask", target: { ...targetOf(target), ...own }, patience });
  }

  /** As {@link ask}, where nobody ought to answer. */
  askInVain(place: string, target: string, own: Pick<Target, "from" | "fromPort"> = {}): Promise<string> {
    return this.#helper(place).call({ kind: "ask", target: { ...targetOf(target), ...own }, patience: impatience });
  }

  /** Asks all of these at once. @returns what is not as it ought to be, one line each */
  async wrong(cases: readonly Case[]): Promise<string[]> {
    const lines = await Promise.all(
      cases.map(async ({ from, to, expect, own }) => {
        const said = await (expect === "" ? this.askInVain(from, to, own) : this.ask(from, to, own));
        return said === expect ? [] : [`${from} → ${to}: "${said}" instead of "${expect}"`];
      }),
    );
    return lines.flat();
  }

  #helper(place: string): HelperProcess<TalkRequest, string> {
    let helper = this.#helpers.get(place);
    if (!helper)
      this.#helpers.set(place, (helper = this.host.helper(program, this.#namespaces.get(place) ?? namespaceOf(place))));
    return helper;
  }
}

export interface Case {
  readonly from: string;
  /** `tcp 10.1.0.2 80` */
  readonly to: string;
  /** The name and whom it sees; "" when it ought not to be reached. */
  readonly expect: string;
  readonly own?: Pick<Target, "from" | "fromPort">;
}

/** The same for TCP and UDP. */
export function both(from: string, to: string, expect: string, own?: Case["own"]): Case[] {
  return (["tcp", "udp"] as const).map((transport) => ({
    from,
    to: `${transport} ${to}`,
    expect,
    ...(own && { own }),
  }));
}

function targetOf(words: string): Target {
  const [transport, ip, port] = words.split(" ");
  return { transport: transport as Transport, ip: ip!, port: Number(port) };
}

function namespaceOf(place: string): string | undefined {
  if (place === "host") return undefined;
  return place.startsWith("outside") ? `/run/host/netns/${place}` : `/run/netns/${place}`;
}
