import { formatAddress, type SocketAddress } from "../../common/address.js";
import type { TimerWheel } from "../../linux/timer-wheel.js";
import type { Publication } from "../publication/publication.js";

/** The same message is logged once in this time, ms, and for so many publications. */
const sameAgain = 60_000;
const saidAtMost = 100;

/** Tells that no source port was left towards a container, and what helps. */
export class Shortage {
  readonly #saidAt = new Map<string, number>();

  constructor(
    private readonly timers: TimerWheel,
    private readonly say: (reason: string) => void,
  ) {}

  tell({ id, protocol, listen }: Publication, target: SocketAddress): void {
    const now = this.timers.now();
    for (const [known, at] of this.#saidAt) {
      if (now - at < sameAgain) break; // the oldest come first
      this.#saidAt.delete(known);
    }
    if (this.#saidAt.has(id) || this.#saidAt.size >= saidAtMost) return;
    this.#saidAt.set(id, now);
    this.say(
      `${protocol} port ${formatAddress(listen)}: ${what[protocol]} is left towards ${formatAddress(target)}, so ${whatThen[protocol]}`,
    );
  }
}

const what = { tcp: "no source port", udp: "none of the source ports of flows" } as const;
const whatThen = {
  tcp:
    "clients are reset; ended connections count for another minute. " +
    "Widen net.ipv4.ip_local_port_range, or have clients keep their connections",
  udp: "the kernel chooses others, which may be wanted for something else. Widen ports.udp-source-ports in the configuration",
} as const;
