import type { Reactor } from "../src/linux/reactor.js";
import { BulkWorkers } from "./bulk-workers.js";
import { Dialer } from "./dial.js";
import { Exhaustion } from "./exhaustion.js";
import { Pipes } from "./pipes.js";
import type { Report } from "./protocol.js";
import { Publications } from "./publications.js";

/** Bytes of an ordinary user's 64 MB in pipes (fs.pipe-user-pages-soft) that all our processes use together. */
export const PIPE_MEMORY = 48 << 20;
const ownPipeMemory = 8 << 20;

/** The bytes each of so many bulk workers may have in pipes. */
export function pipeMemoryOfWorker(workers: number): number {
  return Math.floor((PIPE_MEMORY - ownPipeMemory) / Math.max(1, workers));
}

/** Everything pontoon-proxy consists of, apart from who tells it what to serve. */
export class ProxyServer {
  readonly workers: BulkWorkers;
  readonly publications: Publications;
  readonly #exhaustion: Exhaustion;

  /**
   * @param limits `descriptors`: how many this process may have; `workers`: bulk workers it should have
   * @param onWorkerDeath called when a bulk worker has ended
   */
  constructor(
    readonly reactor: Reactor,
    limits: { readonly descriptors: number; readonly workers: number },
    onWorkerDeath: () => void,
  ) {
    const { poller, wheel } = reactor;
    this.workersWanted = limits.workers;
    this.workers = new BulkWorkers(poller, onWorkerDeath);
    this.#exhaustion = new Exhaustion(poller, wheel);
    this.publications = new Publications({
      poller, wheel, pipes: new Pipes(ownPipeMemory), dialer: new Dialer(), exhaustion: this.#exhaustion, bulk: this.workers,
      // Two descriptors a connection; a quarter of them is out of the reach of any one publication.
      connectionsAtMost: Math.max(1, Math.floor((limits.descriptors * 3) / 8)),
    });
  }

  readonly workersWanted: number;

  report(): Report {
    return {
      publications: this.publications.report(),
      draining: this.publications.draining,
      workers: this.workers.size,
      waitingForDescriptors: this.#exhaustion.waiting,
      residentMemory: process.memoryUsage.rss(),
    };
  }
}
