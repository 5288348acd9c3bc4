import { PacketChannel } from "../../linux/packet-channel.js";
import type { Reactor } from "../../linux/reactor.js";
import type { Timer } from "../../linux/timer-wheel.js";
import { PROTOCOL, type EndRecord, type FromWorker } from "./bulk-protocol.js";
import { readToWorker } from "./bulk-messages.js";
import { closeDescriptor } from "../../linux/socket.js";
import type { Pipes } from "../tcp/pipes.js";
import { TcpConnection, type ConnectionOwner, type EndState } from "../tcp/tcp-connection.js";

const reportEvery = 1000; // ms

/**
 * The worker's side of bulk: goes on with connections it is handed, until they end. When pontoon-proxy has ended it
 * finishes those it has, and ends as well.
 */
export class BulkWorker {
  readonly #publications = new Map<number, Share>();
  readonly #channel: PacketChannel<unknown, FromWorker>;
  #report: Timer | undefined;
  #isOrphan = false;

  /** @param exit ends the process */
  constructor(
    private readonly reactor: Reactor,
    private readonly pipes: Pipes,
    fd: number,
    private readonly exit: () => void,
  ) {
    this.#channel = new PacketChannel<unknown, FromWorker>(reactor.poller, fd, {
      onMessage: (message, descriptors) => this.#onMessage(message, descriptors),
      onClose: () => {
        this.#isOrphan = true;
        this.#endIfDone();
      },
    });
  }

  /** Says that it can be given connections. */
  begin(): void {
    this.#channel.send({ kind: "ready", protocol: PROTOCOL });
  }

  /** Nobody steers it any more. */
  get isOrphan(): boolean {
    return this.#isOrphan;
  }

  #onMessage(value: unknown, descriptors: number[]): void {
    const message = readToWorker(value);
    const [client, container, ...others] = descriptors;
    if (message?.kind !== "take" || client === undefined || container === undefined || others.length > 0) {
      descriptors.forEach(closeDescriptor);
      if (message?.kind === "end") this.#publications.get(message.publication)?.end(message.to);
      return;
    }
    const { publication, halfClosedIdleMs } = message;
    let share = this.#publications.get(publication);
    if (!share)
      this.#publications.set(
        publication,
        (share = new Share(this.reactor, this.pipes, halfClosedIdleMs, () => this.#reportSoon(0))),
      );
    share.adopt(client, container, message.to, stateOf(message.client), stateOf(message.container));
    this.#reportSoon(reportEvery);
  }

  #reportSoon(delay: number): void {
    if (delay === 0) this.#report?.cancel();
    else if (this.#report) return;
    this.#report = this.reactor.timers.schedule(delay, () => {
      this.#report = undefined;
      this.#tellProgress();
      this.#endIfDone();
      if (this.#publications.size > 0) this.#reportSoon(reportEvery);
    });
  }

  #tellProgress(): void {
    const now = this.reactor.timers.now();
    for (const [publication, share] of this.#publications) {
      share.review(now);
      const progress = share.progress();
      if (progress.ended > 0 || progress.bytesToClients > 0 || progress.bytesToContainer > 0)
        this.#channel.send({ kind: "progress", publication, ...progress });
      if (share.size === 0) this.#publications.delete(publication);
    }
  }

  #endIfDone(): void {
    if (this.#isOrphan && [...this.#publications.values()].every(({ size }) => size === 0)) this.exit();
  }
}

/** One publication's connections with this worker. */
class Share implements ConnectionOwner {
  readonly poller;
  readonly timers;
  readonly bulkAfter = 0;
  readonly connectTimeoutMs = Infinity;
  readonly #connections = new Set<TcpConnection>();
  #ended = 0;
  readonly #past = { bytesToContainer: 0, bytesToClients: 0 };
  readonly #told = { bytesToContainer: 0, bytesToClients: 0 };

  constructor(
    reactor: Reactor,
    readonly pipes: Pipes,
    readonly halfClosedIdleMs: number,
    private readonly onChange: () => void,
  ) {
    this.poller = reactor.poller;
    this.timers = reactor.timers;
  }

  get size(): number {
    return this.#connections.size;
  }

  adopt(client: number, container: number, to: string, clientState: EndState, containerState: EndState): void {
    const connection = new TcpConnection(this, client, container, to);
    this.#connections.add(connection);
    connection.adopt(clientState, containerState);
  }

  /** @param to addresses; undefined: all */
  end(to: readonly string[] | undefined): void {
    for (const connection of [...this.#connections])
      if (to === undefined || to.includes(connection.to)) connection.reset();
  }

  review(now: number): void {
    for (const connection of this.#connections) connection.review(now);
  }

  /** What has happened since the last call. */
  progress(): { ended: number; bytesToContainer: number; bytesToClients: number } {
    let { bytesToContainer, bytesToClients } = this.#past;
    for (const { client, container } of this.#connections) {
      bytesToContainer += client.received;
      bytesToClients += container.received;
    }
    const progress = {
      ended: this.#ended,
      bytesToContainer: bytesToContainer - this.#told.bytesToContainer,
      bytesToClients: bytesToClients - this.#told.bytesToClients,
    };
    Object.assign(this.#told, { bytesToContainer, bytesToClients });
    this.#ended = 0;
    return progress;
  }

  onFailedDial(): void {
    throw new Error("a bulk worker opens no connections of its own");
  }

  onBulk(): never {
    throw new Error("a bulk worker's connections are bulk from the start");
  }

  onEnd(connection: TcpConnection): void {
    this.#connections.delete(connection);
    this.#past.bytesToContainer += connection.client.received;
    this.#past.bytesToClients += connection.container.received;
    this.#ended++;
    this.onChange();
  }
}

function stateOf({ ended, shut, unsent }: EndRecord): EndState {
  return { ended, shut, unsent: unsent === undefined ? undefined : Buffer.from(unsent, "base64") };
}
