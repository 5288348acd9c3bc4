import { errorCode } from "../../common/errors.js";
import { EPOLLIN } from "../../linux/constants.js";
import { namespaceInode, ownNamespacePath } from "../../linux/netns.js";
import { receivePacket, sendPacket, type Packet } from "../../linux/packet-connection.js";
import type { Poller, Watch } from "../../linux/poller.js";
import { closeDescriptor } from "../../linux/socket.js";
import type { Timer, TimerWheel } from "../../linux/timer-wheel.js";
import { KeptListeners, type Served } from "./kept-listeners.js";
import type { PortServer } from "./port-server.js";
import { ShimAcceptor } from "./shim-acceptor.js";
import { readShimMessage, type ShimMessage, type ShimRequest } from "./shim-protocol.js";
import { unfit } from "./socket-fit.js";
import { defaults, type Protocol, type PublicationOwner } from "../publication/publication.js";

export interface ShimsOptions {
  /** Shims connected at once. */
  readonly shimsAtMost?: number;
  /** How long a listener is kept for the shim of a dockerd that returns, ms. */
  readonly keepTime?: number;
  /** Told why a shim was sent to Docker's own docker-proxy. */
  readonly onDeclined?: (reason: string) => void;
}

const idPrefix = "shim ";

/** Whether a publication was handed over by a shim. */
export function isOfShim(id: string): boolean {
  return id.startsWith(idPrefix);
}

/** A shim that connected has said something by then, ms. */
const handshakeTime = 10_000;

interface Shim {
  readonly fd: number;
  readonly watch: Watch;
  /** Until its first message. */
  patience: Timer | undefined;
  /** What it has handed over. */
  served: Served | undefined;
}

/**
 * The end of `proxy.sock` that belongs to pontoon-proxy: takes sockets from shims and has them served for as long as the
 * connection lasts. Whatever a shim sends, the worst it gets is a `no`, after which it becomes Docker's own
 * docker-proxy.
 */
export class Shims {
  /** How long connections may go on when a port is unpublished, ms. */
  drainMs = defaults.drainMs;
  /** Whether a daemon tells when a container is gone. Without one connections end with their port, as those of Docker's own docker-proxy do. */
  hasDaemon = false;
  readonly #shims = new Set<Shim>();
  readonly #kept: KeptListeners;
  readonly #acceptor: ShimAcceptor;
  readonly #namespace = namespaceInode(ownNamespacePath);
  readonly #options: Required<ShimsOptions>;
  #lastId = 0;

  constructor(
    private readonly poller: Poller,
    private readonly timers: TimerWheel,
    private readonly publications: PortServer,
    options: ShimsOptions = {},
  ) {
    this.#options = { shimsAtMost: 20_000, keepTime: 60_000, onDeclined: () => undefined, ...options };
    this.#kept = new KeptListeners(timers, publications, this.#options.keepTime);
    const hasRoom = () => this.#shims.size < this.#options.shimsAtMost;
    this.#acceptor = new ShimAcceptor(poller, timers, hasRoom, (fd) => this.#attach(fd));
  }

  /** Shims that are connected. */
  get size(): number {
    return this.#shims.size;
  }

  /** Listeners that wait for the shim of a dockerd that returns. */
  get kept(): number {
    return this.#kept.size;
  }

  /** Accepts shims on a listening socket, which stays the caller's. */
  listen(descriptor: number): void {
    this.#acceptor.listen(descriptor);
  }

  /** Gives every port back: each shim becomes Docker's own docker-proxy. For when pontoon goes for good. */
  release(reason: string): void {
    this.#kept.dropAll();
    for (const shim of [...this.#shims]) this.#decline(shim, reason);
  }

  /**
   * Sends every shim to the next pontoon-proxy, which listens already: without an answer it hands its listener over again.
   * What is kept for the shim of a dockerd that returns is closed.
   */
  leave(): void {
    this.#acceptor.finish();
    this.#kept.dropAll();
    for (const shim of [...this.#shims]) this.#drop(shim);
  }

  #attach(fd: number): void {
    const shim: Shim = {
      fd,
      watch: this.poller.watch(fd, EPOLLIN, () => this.#onReady(shim)),
      patience: this.timers.schedule(handshakeTime, () => this.#drop(shim)),
      served: undefined,
    };
    this.#shims.add(shim);
  }

  #onReady(shim: Shim): void {
    const packet = receive(shim.fd);
    if (packet === undefined) return;
    if (packet === "closed") return this.#drop(shim);
    shim.patience?.cancel();
    shim.patience = undefined;
    const left = this.#take(shim, readShimMessage(packet.bytes), packet.descriptors);
    left.forEach(closeDescriptor);
  }

  /** @returns the descriptors that were not used */
  #take(shim: Shim, message: ShimMessage, descriptors: number[]): number[] {
    switch (message.kind) {
      case "ask":
        this.#onAsk(shim, message.request);
        return descriptors;
      case "who":
        this.#onWho(shim, message.request);
        return descriptors;
      case "serve":
        return this.#onServe(shim, message.request, descriptors);
      case "bye":
        this.#onBye(shim);
        return descriptors;
      case "bye-keep":
        return shim.served?.request.inherited
          ? this.#onByeOfInherited(shim, descriptors)
          : this.#onByeKeep(shim, descriptors);
      case "nonsense":
        this.#decline(shim, message.reason);
        return descriptors;
    }
  }

  #onAsk(shim: Shim, request: ShimRequest): void {
    const objection = this.#objection(shim, request);
    if (objection !== undefined) return this.#decline(shim, objection);
    if (this.#giveBack(shim, request)) return;
    this.#makeRoom(request);
    this.#answer(shim, "ready");
  }

  #onWho(shim: Shim, { protocol, host, namespace }: ShimRequest): void {
    const owner = namespace === this.#namespace ? this.publications.ownerOf?.(protocol, host) : undefined;
    this.#answer(shim, owner ? `held ${plain(ownerText(protocol, owner))}` : "nobody");
  }

  #onServe(shim: Shim, request: ShimRequest, descriptors: number[]): number[] {
    const [descriptor] = descriptors;
    const objection =
      this.#objection(shim, request) ??
      (descriptors.length === 1 ? unfit(descriptor!, request) : "a listener must come as one descriptor");
    if (objection !== undefined) {
      descriptors.forEach(closeDescriptor); // before the shim hears of it: it is about to bind the port again
      this.#decline(shim, objection);
      return [];
    }
    const served = { id: `${idPrefix}${++this.#lastId}`, request: request };
    try {
      this.publications.open(
        {
          id: served.id,
          protocol: request.protocol,
          listen: request.host,
          target: request.container,
          options: { drainMs: this.drainMs },
        },
        descriptor!,
      );
    } catch (error) {
      closeDescriptor(descriptor!);
      this.#decline(shim, (error as Error).message);
      return [];
    }
    shim.served = served;
    this.#answer(shim, "ok");
    return [];
  }

  #onBye(shim: Shim): void {
    if (!this.hasDaemon && shim.served) {
      this.publications.cutOff(shim.served.id);
      shim.served = undefined;
    }
    this.#close(shim);
    this.#answer(shim, "gone");
  }

  /** The dockerd that returns binds the port by itself, and must find it free: only what is connected stays. */
  #onByeOfInherited(shim: Shim, descriptors: number[]): number[] {
    this.#close(shim, true);
    this.#answer(shim, "gone");
    return descriptors;
  }

  #onByeKeep(shim: Shim, descriptors: number[]): number[] {
    const { served } = shim;
    const [descriptor] = descriptors;
    shim.served = undefined;
    if (served && descriptor !== undefined && this.#kept.size < this.#options.shimsAtMost) {
      this.#kept.keep(served, descriptor);
      descriptors.shift();
    } else if (served) this.publications.close(served.id, true);
    this.#drop(shim);
    return descriptors;
  }

  #giveBack(shim: Shim, request: ShimRequest): boolean {
    const kept = this.#kept.take(request);
    if (!kept) return false;
    shim.served = kept.served;
    this.#answer(shim, "kept", [kept.descriptor]);
    closeDescriptor(kept.descriptor);
    return true;
  }

  #makeRoom(request: ShimRequest): void {
    if (request.protocol === "udp") this.publications.vacate(new Set([request.host.port]));
    this.#kept.makeRoom(request);
  }

  #objection(shim: Shim, request: ShimRequest): string | undefined {
    if (request.namespace !== this.#namespace) return "the port is in another network namespace";
    if (shim.served) return "a shim serves one port";
    return undefined;
  }

  #decline(shim: Shim, reason: string): void {
    this.#options.onDeclined(reason);
    this.#close(shim);
    // The shim rebinds as soon as it reads this; nothing of ours may hold the port by then.
    this.#answer(shim, `no ${plain(reason)}`);
    this.#drop(shim);
  }

  #answer(shim: Shim, text: string, descriptors: readonly number[] = []): void {
    if (!this.#shims.has(shim)) return;
    try {
      if (sendPacket(shim.fd, Buffer.from(text), descriptors)) return;
    } catch (error) {
      if (errorCode(error) === "EPIPE") return; // it has ended; its last message is still to be read
      this.#options.onDeclined((error as Error).message);
    }
    this.#drop(shim); // it does not read
  }

  /** Ends what the shim has handed over; the connection stays. */
  #close(shim: Shim, untilTheirEnd = false): void {
    if (shim.served) this.publications.close(shim.served.id, untilTheirEnd);
    shim.served = undefined;
  }

  #drop(shim: Shim): void {
    if (!this.#shims.delete(shim)) return;
    this.#close(shim);
    shim.patience?.cancel();
    shim.watch.close();
    closeDescriptor(shim.fd);
  }
}

/** A shim passes it on to dockerd, which shows it on somebody's terminal. */
function plain(text: string): string {
  return text.replaceAll(/[^ -~]/g, "?").slice(0, 200);
}

/** Who has opened a port, and what frees it. */
function ownerText(protocol: Protocol, { container, containerPort, source }: PublicationOwner): string {
  const port = `${containerPort}/${protocol}`;
  return source === "command"
    ? `\`pontoon publish\` opened it for ${container} (${port}); \`pontoon unpublish ${container} ${port}\` frees it`
    : `the label pontoon.publish of ${container} opened it (${port}); it is free when that container is removed`;
}

/** A message of a shim; one that cannot be received ends the connection. */
function receive(fd: number): Packet | "closed" | undefined {
  try {
    return receivePacket(fd);
  } catch {
    return "closed"; // longer than any message of a shim, or its descriptors exceed our limit
  }
}
