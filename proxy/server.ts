import type { Reactor } from "../linux/reactor.js";
import { BulkWorkers } from "./bulk/bulk-workers.js";
import { Dialer } from "./dial/dial.js";
import { DescriptorWaiters } from "./tcp/descriptor-waiters.js";
import { Pipes } from "./tcp/pipes.js";
import type { Report } from "./protocol.js";
import { Publications } from "./publications.js";
import type { PublicationReport } from "./publication/relay.js";
import { Shortage } from "./dial/shortage.js";
import { SourcePorts } from "./dial/source-ports.js";
import { Shims } from "./shims/shims.js";

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
  readonly shims: Shims;
  readonly sourcePorts = new SourcePorts();
  readonly #descriptorWaiters: DescriptorWaiters;

  /**
   * @param limits `descriptors`: how many this process may have; `workers`: bulk workers it should have
   * @param events `canStartWorkers`: whether somebody would; `onWorkersWanted`: so many bulk workers are to be started;
   *   `onNotice`: something those who run the host should know;
   * `onDeclined`: why a shim was sent to Docker's own docker-proxy; `onFailedDials`: why connections of a publication fail
   */
  constructor(
    readonly reactor: Reactor,
    limits: { readonly descriptors: number; readonly workers: number },
    events: {
      readonly canStartWorkers: () => boolean;
      readonly onWorkersWanted: (count: number) => void;
      readonly onDeclined: (reason: string) => void;
      readonly onNotice: (reason: string) => void;
      readonly onFailedDials: (publication: string, reason: string) => void;
    },
  ) {
    const { poller, timers } = reactor;
    this.workers = new BulkWorkers(poller, timers, {
      wanted: limits.workers,
      canStart: () => events.canStartWorkers(),
      start: (count) => events.onWorkersWanted(count),
    });
    const shortage = new Shortage(timers, (reason) => events.onNotice(reason));
    this.#descriptorWaiters = new DescriptorWaiters(poller, timers);
    this.publications = new Publications({
      poller,
      timers: timers,
      pipes: new Pipes(ownPipeMemory),
      dialer: new Dialer(),
      descriptorWaiters: this.#descriptorWaiters,
      bulk: this.workers,
      sourcePorts: this.sourcePorts,
      onNoSourcePort: (publication, target) => shortage.tell(publication, target),
      onFailedDials: (publication, reason) => events.onFailedDials(publication, reason),
      // Two descriptors a connection; a quarter of them is out of the reach of any one publication.
      connectionsAtMost: Math.max(1, Math.floor((limits.descriptors * 3) / 8)),
    });
    this.shims = new Shims(poller, timers, this.publications, { onDeclined: (reason) => events.onDeclined(reason) });
  }

  /** Gives every port back to Docker's own docker-proxy. @param onIdle called when its connections have had their time */
  stop(onIdle: () => void): void {
    this.shims.release("pontoon-proxy ends");
    this.publications.closeAll(onIdle);
  }

  /** Another process has every listener: finishes the connections there are, for as long as they last. @param onIdle called then */
  drain(onIdle: () => void): void {
    this.publications.closeAll(onIdle, true); // before shims are sent away, which would close theirs as unpublished
    this.shims.leave();
  }

  /** Nothing is published, no shim is there, and no connection goes on. */
  get isIdle(): boolean {
    return this.publications.size + this.publications.draining + this.shims.size + this.shims.kept === 0;
  }

  /** @param publications the publications to report  @param shims how many of all publications are dockerd's */
  report(publications: readonly PublicationReport[], shims: number): Report {
    return {
      publications,
      draining: this.publications.draining,
      shims,
      workers: this.workers.size,
      waitingForDescriptors: this.#descriptorWaiters.waiting,
      residentMemory: process.memoryUsage.rss(),
    };
  }
}
