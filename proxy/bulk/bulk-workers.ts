import { PacketChannel } from "../../linux/packet-channel.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor } from "../../linux/socket.js";
import type { BulkTaker, HandedOver } from "../tcp/bulk.js";
import type { EndRecord, FromWorker, ToWorker } from "./bulk-protocol.js";
import { readFromWorker } from "./bulk-messages.js";
import type { EndState, TcpConnection } from "../tcp/tcp-connection.js";

/** Messages a worker may be behind with before it is given nothing more. */
const backlogAtMost = 64;

interface Worker {
  readonly channel: PacketChannel<unknown, ToWorker>;
  /** Open connections. */
  size: number;
}

/** Processes that take over connections which move much. One that dies takes its own connections along, and no others. */
export class BulkWorkers implements BulkTaker {
  readonly #workers = new Set<Worker>();
  readonly #shares = new Map<number, Share>();
  #lastShare = 0;

  /** @param onDeath called when a worker has ended */
  constructor(
    private readonly poller: Poller,
    private readonly onDeath: () => void,
  ) {}

  get size(): number {
    return this.#workers.size;
  }

  /** @param fd the channel to a worker; ours from now on */
  add(fd: number): void {
    const worker: Worker = {
      size: 0,
      channel: new PacketChannel<unknown, ToWorker>(this.poller, fd, {
        onMessage: (message, descriptors) => this.#onMessage(worker, message, descriptors),
        onClose: () => this.#onGone(worker),
      }),
    };
    this.#workers.add(worker);
  }

  /** A worker that says anything else was broken into: nothing more is sent to it or read from it. */
  #onMessage(worker: Worker, message: unknown, descriptors: readonly number[]): void {
    descriptors.forEach(closeDescriptor);
    const progress = readFromWorker(message);
    const share = progress && this.#shares.get(progress.publication);
    const isFit =
      progress !== undefined && descriptors.length === 0 && (!share || progress.ended <= share.openAt(worker));
    if (isFit) return share?.onProgress(worker, progress);
    worker.channel.close();
    this.#onGone(worker);
  }

  #onGone(worker: Worker): void {
    if (!this.#workers.delete(worker)) return;
    for (const share of this.#shares.values()) share.onDeath(worker);
    this.onDeath();
  }

  begin(halfClosedIdleMs: number, onGone: () => void): HandedOver {
    const id = ++this.#lastShare;
    const share = new Share(id, halfClosedIdleMs, onGone, {
      pick: () => this.#leastBusy(),
      forget: () => {
        this.#shares.delete(id);
        for (const { channel } of this.#workers) channel.send({ kind: "end", publication: id });
      },
    });
    this.#shares.set(id, share);
    return share;
  }

  #leastBusy(): Worker | undefined {
    let best: Worker | undefined;
    for (const worker of this.#workers)
      if (worker.channel.backlog < backlogAtMost && worker.size < (best?.size ?? Infinity)) best = worker;
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
    private readonly workers: { readonly pick: () => Worker | undefined; readonly forget: () => void },
  ) {}

  take(connection: TcpConnection): boolean {
    const worker = this.workers.pick();
    if (worker === undefined) return false;
    const { client, container, to } = connection;
    const state = connection.detach();
    this.#add(worker, 1);
    worker.channel.send(
      {
        kind: "take",
        publication: this.id,
        halfClosedIdleMs: this.halfClosedIdleMs,
        to,
        client: recordOf(state.client),
        container: recordOf(state.container),
      },
      [client.fd, container.fd],
    );
    closeDescriptor(client.fd);
    closeDescriptor(container.fd);
    return true;
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

  onProgress(worker: Worker, { ended, bytesToContainer, bytesToClients }: FromWorker): void {
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
