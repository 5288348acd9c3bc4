import type { Logger } from "pino";
import { describeError } from "../../common/errors.js";
import { spawnWorker } from "../../proxy/bulk/spawn-workers.js";
import { proxyServer } from "./program.js";

/** Bulk workers are started no more often than this; ms. */
const workersAtMost = 8;
const workersWithin = 60_000;

/** Starts bulk workers for pontoon-proxy, unless they die one after the other. */
export class WorkerStarter {
  /** When bulk workers were started lately. */
  #workers: number[] = [];
  #lacksWorkers = false;

  constructor(private readonly log: Logger) {}

  /** Only a process of root's can start one. @returns the channel to it, the caller's; undefined when none is started */
  start(): number | undefined {
    const now = performance.now();
    this.#workers = this.#workers.filter((at) => now - at < workersWithin);
    if (this.#workers.length >= workersAtMost) {
      if (!this.#lacksWorkers)
        this.log.error("pontoon-proxy wants bulk workers again and again: bulk is relayed among everything else");
      this.#lacksWorkers = true;
      return undefined;
    }
    this.#lacksWorkers = false;
    this.#workers.push(now);
    const { user, nodeFlags } = proxyServer;
    try {
      return spawnWorker(user, nodeFlags, {
        onUnstartable: (reason) => this.#cannotStart(reason),
        onDeath: (reason) =>
          this.log.warn({ reason }, "a bulk worker of pontoon-proxy has ended; what it carried was reset"),
      });
    } catch (error) {
      this.#cannotStart(describeError(error));
      return undefined;
    }
  }

  #cannotStart(reason: string): void {
    this.log.error(
      { reason },
      "a bulk worker of pontoon-proxy cannot be started: bulk is relayed among everything else",
    );
  }
}
