import type { Logger } from "pino";
import { spawnWorker, workersWanted } from "../../proxy/bulk/spawn-workers.js";
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
    const now = Date.now();
    this.#workers = this.#workers.filter((at) => now - at < workersWithin);
    if (this.#workers.length >= workersAtMost) {
      if (!this.#lacksWorkers)
        this.log.error("bulk workers of pontoon-proxy die: bulk is relayed among everything else");
      this.#lacksWorkers = true;
      return undefined;
    }
    this.#lacksWorkers = false;
    this.#workers.push(now);
    return spawnWorker(proxyServer.user, workersWanted(), "ignore");
  }
}
