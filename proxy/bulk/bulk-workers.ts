import { LinuxError } from "../../linux/ffi.js";
import { PacketChannel } from "../../linux/packet-channel.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor, setReset } from "../../linux/socket.js";
import type { Timer, TimerWheel } from "../../linux/timer-wheel.js";
import type { BulkTaker, HandedOver, Taken } from "../tcp/bulk.js";
import type { EndRecord, Progress, ToWorker } from "./bulk-protocol.js";
import { readFromWorker } from "./bulk-messages.js";
import type { EndState, TcpConnection } from "../tcp/tcp-connection.js";

/** Messages a worker may be behind with before it is given nothing more. */
const backlogAtMost = 64;
/** Without a bulk connection for so long, workers are ended; ms. */
const idleTime = 60_000;
/** One that is not ready by then hangs, and would keep others from being started, ms. */
const readyTime = 60_000;
/** How long bulk waits for one to start, and how soon others may be asked for again, ms. */
const startTime = 5000;
const askedAgainAfter = 10_000;

/** Who starts workers: pontoon-proxy itself may start no process. */
export interface WorkerSource {
  /** How many there are to be, while there is bulk. */
  readonly wanted: number;
  /** Whether asking would be of use. */
  canStart(): boolean;
  /** Asks for some. Each comes with {@link BulkWorkers.add}, or never. */
  start(count: number): void;
}

interface Worker {
  readonly channel: PacketChannel<unknown, ToWorker>;
  isReady: boolean;
  /** Open connections. */
  size: number;
}

/**
 * Processes that take connections which move much. There are none until the first such connection, which stays where it is until
 * they are ready, and none any more when there was no such connection for a minute. One that dies takes its own connections
 * along, and no other.
 */
export class BulkWorkers implements BulkTaker {
  readonly #workers = new Set<Worker>();
  readonly #shares = new Map<number, Share>();
  #lastShare = 0;
  /** When workers were asked for last, by the timers' clock. */
  #askedAt = -Infinity;
  /** While they are waited for. */
  #start: Timer | undefined;
  /** While none of them has anything to do. */
  #idle: Timer | undefined;

  constructor(
    private readonly poller: Poller,
    private readonly timers: TimerWheel,
    private readonly source: WorkerSource,
  ) {}

  /** Those that can be given connections. */
  get size(): number {
    let size = 0;
    for (const { isReady } of this.#workers) if (isReady) size++;
    return size;
  }

  /** @param fd the channel to a worker; ours from now on. One that is not wanted ends with it */
  add(fd: number): void {
    if (this.#workers.size >= this.source.wanted) return closeDescriptor(fd);
    const worker: Worker = {
      size: 0,
      isReady: false,
      channel: new PacketChannel<unknown, ToWorker>(this.poller, fd, {
        onMessage: (message, descriptors) => this.#onMessage(worker, message, descriptors),
        onClose: () => this.#onGone(worker),
      }),
    };
    this.#workers.add(worker);
    this.timers.schedule(readyTime, () => {
      if (!worker.isReady) this.#letGo(worker);
    });
    this.#endWhenIdle();
  }

  /** A worker that says anything else was broken into: nothing more is sent to it or read from it. */
  #onMessage(worker: Worker, message: unknown, descriptors: readonly number[]): void {
    descriptors.forEach(closeDescriptor);
    const said = descriptors.length === 0 ? readFromWorker(message) : undefined;
    if (said?.kind === "ready") return this.#onReady(worker);
    const share = said && this.#shares.get(said.publication);
    if (said === undefined || (share && said.ended > share.openAt(worker))) return this.#letGo(worker);
    share?.onProgress(worker, said);
    this.#endWhenIdle();
  }

  #onReady(worker: Worker): void {
    worker.isReady = true;
    this.#start?.cancel();
    this.#start = undefined;
  }

  #letGo(worker: Worker): void {
    worker.channel.close();
    this.#onGone(worker);
  }

  #onGone(worker: Worker): void {
    if (!this.#workers.delete(worker)) return;
    for (const share of this.#shares.values()) share.onDeath(worker);
    if (this.#workers.size > 0) return;
    this.#start?.cancel(); // nobody is left to wait for
    this.#start = undefined;
  }

  /** Ends all of them some time after the last connection has, if others would be started. */
  #endWhenIdle(): void {
    if (this.#idle || this.#workers.size === 0 || this.#isBusy) return;
    this.#idle = this.timers.schedule(idleTime, () => {
      this.#idle = undefined;
      if (!this.source.canStart()) return this.#endWhenIdle();
      for (const { channel } of this.#workers) channel.close(); // a worker without one ends
      this.#workers.clear();
    });
  }

  get #isBusy(): boolean {
    for (const { size } of this.#workers) if (size > 0) return true;
    return false;
  }

  begin(halfClosedIdleMs: number, onGone: () => void): HandedOver {
    const id = ++this.#lastShare;
    const share = new Share(id, halfClosedIdleMs, onGone, {
      pick: () => this.#pick(),
      forget: () => {
        this.#shares.delete(id);
        for (const { channel } of this.#workers) channel.send({ kind: "end", publication: id });
      },
    });
    this.#shares.set(id, share);
    return share;
  }

  /** @returns a worker for one more connection, or why there is none */
  #pick(): Worker | "soon" | "no" {
    this.#idle?.cancel();
    this.#idle = undefined;
    if (this.#workers.size < this.source.wanted) this.#ask();
    const worker = this.#leastBusy();
    if (worker === undefined) this.#endWhenIdle();
    return worker ?? (this.#start ? "soon" : "no");
  }

  /** Has those started that are missing, but not again and again where that fails. */
  #ask(): void {
    const now = this.timers.now();
    if (now - this.#askedAt < askedAgainAfter || !this.source.canStart()) return;
    this.#askedAt = now;
    this.#start = this.timers.schedule(startTime, () => (this.#start = undefined));
    this.source.start(this.source.wanted - this.#workers.size);
  }

  #leastBusy(): Worker | undefined {
    let best: Worker | undefined;
    for (const worker of this.#workers)
      if (worker.isReady && worker.channel.backlog < backlogAtMost && worker.size < (best?.size ?? Infinity))
        best = worker;
    return best;
  }
}

/** One publication's connections with all workers. */
class Share implements HandedOver {
  readonly counters = { bytesToContainer: 0, bytesToClients: 0 };
  readonly #open = new Map<Worker, number>();
  size = 0;

  constructor(
    private readonly id: number,
    private readonly halfClosedIdleMs: number,
    private readonly onGone: () => void,
    private readonly workers: { readonly pick: () => Worker | "soon" | "no"; readonly forget: () => void },
  ) {}

  take(connection: TcpConnection): Taken {
    const worker = this.workers.pick();
    if (typeof worker === "string") return worker;
    const descriptors = [connection.client.fd, connection.container.fd];
    // Should the worker die, also before it has read this, what is cut off must not look complete.
    for (const fd of descriptors) setReset(fd, true);
    if (!this.#send(worker, connection, descriptors)) {
      for (const fd of descriptors) setReset(fd, false);
      return worker.channel.isOpen ? "no" : this.take(connection);
    }
    connection.detach();
    this.#add(worker, 1);
    descriptors.forEach(closeDescriptor);
    return "taken";
  }

  /** @returns false when nothing was sent: the worker has just ended, or there is no descriptor to keep ours with until it reads */
  #send(worker: Worker, { client, container, to }: TcpConnection, descriptors: readonly number[]): boolean {
    try {
      worker.channel.send(
        {
          kind: "take",
          publication: this.id,
          halfClosedIdleMs: this.halfClosedIdleMs,
          to,
          client: recordOf(client),
          container: recordOf(container),
        },
        descriptors,
      );
    } catch (error) {
      if (!(error instanceof LinuxError)) throw error;
      return false;
    }
    return worker.channel.isOpen; // of one that has ended, its connections are gone already
  }

  /** They count until their workers say that they are over. */
  endTo(addresses: ReadonlySet<string>): void {
    const to = [...addresses];
    for (const [{ channel }, open] of this.#open) if (open > 0) channel.send({ kind: "end", publication: this.id, to });
  }

  end(): void {
    this.workers.forget();
    for (const worker of [...this.#open.keys()]) this.#add(worker, -(this.#open.get(worker) ?? 0));
  }

  openAt(worker: Worker): number {
    return this.#open.get(worker) ?? 0;
  }

  onProgress(worker: Worker, { ended, bytesToContainer, bytesToClients }: Progress): void {
    this.counters.bytesToContainer += bytesToContainer;
    this.counters.bytesToClients += bytesToClients;
    if (ended === 0) return;
    this.#add(worker, -ended);
    this.onGone();
  }

  onDeath(worker: Worker): void {
    const open = this.#open.get(worker) ?? 0;
    this.#add(worker, -open);
    this.#open.delete(worker);
    if (open > 0) this.onGone();
  }

  #add(worker: Worker, count: number): void {
    this.#open.set(worker, (this.#open.get(worker) ?? 0) + count);
    worker.size += count;
    this.size += count;
  }
}

function recordOf({ ended, shut, unsent }: EndState): EndRecord {
  return unsent === undefined ? { ended, shut } : { ended, shut, unsent: unsent.toString("base64") };
}
