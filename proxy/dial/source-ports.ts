import type { SocketAddress } from "../../common/address.js";

/** Ports from the first to the last of them. */
export interface PortSpan {
  readonly first: number;
  readonly last: number;
}

/** Beyond the range from which most hosts choose ports (net.ipv4.ip_local_port_range), and more ports than one publication has flows. */
export const defaultSourcePorts: PortSpan = { first: 61_000, last: 65_535 };

/** How many ports are tried for one flow if others have them. */
const triesAtMost = 64;

/** Binds a socket to a port. @param isShared whether flows to other targets have it as well @returns false when somebody else has it */
export type Binder = (port: number, isShared: boolean) => boolean;

/**
 * The ports that UDP flows are sent from. Flows to different targets share ports, since replies are told apart by
 * their sender; so a small range is enough for any number of publications. Ports that others want are avoided.
 */
export class SourcePorts {
  #span = defaultSourcePorts;
  #avoided: ReadonlySet<number> = new Set();
  /** Ports of the flows to each target. */
  readonly #used = new Map<string, Set<number>>();
  /** How many flows have each port. */
  readonly #flows = new Map<number, number>();

  /** @param random from 0 to 1, as Math.random */
  constructor(private readonly random: () => number = Math.random) {}

  /** Holds for flows that begin from now on. */
  set span(span: PortSpan) {
    this.#span = span;
  }

  /** Ports that no flow is to have from now on; it replaces those named before. */
  set avoided(ports: ReadonlySet<number>) {
    this.#avoided = ports;
  }

  isUsed(port: number): boolean {
    return this.#flows.has(port);
  }

  /** @returns the port that was bound, to be given back; undefined when there is none left for the target */
  take(target: SocketAddress, bind: Binder): number | undefined {
    const { first, last } = this.#span;
    const size = last - first + 1;
    const key = keyOf(target);
    const used = this.#used.get(key);
    const start = Math.floor(this.random() * size);
    let tries = 0;
    if ((used?.size ?? 0) >= size) return undefined;
    for (let step = 0; step < size && tries < triesAtMost; step++) {
      const port = first + ((start + step) % size);
      if (used?.has(port) === true || this.#avoided.has(port)) continue;
      const flows = this.#flows.get(port) ?? 0;
      tries++;
      if (!bind(port, flows > 0)) continue;
      this.#flows.set(port, flows + 1);
      if (used) used.add(port);
      else this.#used.set(key, new Set([port]));
      return port;
    }
    return undefined;
  }

  giveBack(target: SocketAddress, port: number): void {
    const key = keyOf(target);
    const used = this.#used.get(key);
    if (used?.delete(port) !== true) return;
    if (used.size === 0) this.#used.delete(key);
    const flows = this.#flows.get(port)! - 1;
    if (flows === 0) this.#flows.delete(port);
    else this.#flows.set(port, flows);
  }
}

function keyOf({ ip, port }: SocketAddress): string {
  return `${ip} ${port}`;
}
