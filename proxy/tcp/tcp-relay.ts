import { familyOf, type SocketAddress } from "../../common/address.js";
import { encodeAddress } from "../../linux/address.js";
import { EADDRNOTAVAIL } from "../../linux/constants.js";
import type { Poller } from "../../linux/poller.js";
import { localAddress, peerAddress, resetAndClose } from "../../linux/socket.js";
import type { Timer, TimerWheel } from "../../linux/timer-wheel.js";
import type { BulkTaker, HandedOver } from "./bulk.js";
import { DialFailures } from "../dial/dial-failures.js";
import type { Dialer } from "../dial/dial.js";
import type { DescriptorWaiters } from "./descriptor-waiters.js";
import { HeaderWait } from "./header-wait.js";
import { Networks } from "../publication/networks.js";
import type { Pipes } from "./pipes.js";
import { encodeHeader, type Ends } from "./proxy-protocol.js";
import type { Publication, PublicationOptions } from "../publication/publication.js";
import { noCounters, type PublicationReport, type Relay } from "../publication/relay.js";
import { TcpConnection, type ConnectionOwner } from "./tcp-connection.js";
import { TcpListener } from "./tcp-listener.js";

/** What all publications of a process share. */
export interface TcpTools {
  readonly poller: Poller;
  readonly timers: TimerWheel;
  readonly pipes: Pipes;
  readonly dialer: Dialer;
  readonly descriptorWaiters: DescriptorWaiters;
  readonly bulk: BulkTaker;
  /** No source port was left towards a target. */
  onNoSourcePort(publication: Publication, target: SocketAddress): void;
  /** Connections a publication may have if it sets no limit of its own. */
  readonly connectionsAtMost: number;
  /** Told now and then why connections to a container fail. @param reason name of an errno */
  readonly onFailedDials?: (publication: string, reason: string) => void;
}

/** Bytes in one direction after which a connection is handed to a bulk worker. */
const bulkAfter = 4 << 20;
const reviewAtLeast = 20; // ms
const reviewAtMost = 1000;

/** One TCP publication: its listener and its connections. */
export class TcpRelay implements Relay, ConnectionOwner {
  readonly poller: Poller;
  readonly timers: TimerWheel;
  readonly pipes: Pipes;
  readonly bulkAfter = bulkAfter;
  readonly connectTimeoutMs: number;
  readonly halfClosedIdleMs: number;
  readonly #listener: TcpListener;
  readonly #connections = new Set<TcpConnection>();
  readonly #headerWaits = new Set<HeaderWait>();
  readonly #counters = noCounters();
  readonly #failures = new DialFailures((reason) => this.tools.onFailedDials?.(this.publication.id, reason));
  readonly #handedOver: HandedOver;
  readonly #allowed: Networks;
  readonly #trusted: Networks;
  readonly #connectionsAtMost: number;
  readonly #reviewEvery: number;
  readonly #resume = () => this.#listener.resume();
  #target: SocketAddress | undefined;
  #targetAddress: Buffer;
  #hasStoppedForRoom = false;
  #review: Timer | undefined;
  /** Looked up once a batch of connections, ms. */
  #now: number;
  #onDrained: (() => void) | undefined;

  /** @param fd listening; the relay's from now on */
  constructor(
    private readonly tools: TcpTools,
    private readonly publication: Publication,
    private readonly options: Required<PublicationOptions>,
    fd: number,
  ) {
    this.poller = tools.poller;
    this.timers = tools.timers;
    this.pipes = tools.pipes;
    this.connectTimeoutMs = options.connectTimeoutMs;
    this.halfClosedIdleMs = options.halfClosedIdleMs;
    this.#allowed = new Networks(options.allowFrom);
    this.#trusted = new Networks(options.acceptProxyProtocolFrom);
    this.#connectionsAtMost = options.maxConnections > 0 ? options.maxConnections : tools.connectionsAtMost;
    const shortest = Math.min(options.connectTimeoutMs, options.halfClosedIdleMs, options.proxyHeaderMs);
    this.#reviewEvery = Math.min(reviewAtMost, Math.max(reviewAtLeast, shortest / 4));
    this.#target = publication.target;
    this.#targetAddress = publication.target ? encodeAddress(publication.target) : Buffer.alloc(0);
    this.#now = tools.timers.now();
    this.#handedOver = tools.bulk.begin(options.halfClosedIdleMs, () => this.#onGone());
    const needsClientAddress = !this.#allowed.isEmpty || !this.#trusted.isEmpty;
    this.#listener = new TcpListener(tools.poller, fd, needsClientAddress, {
      hasRoom: () => this.#hasRoom(),
      onConnection: (connection, client) => this.#onConnection(connection, client),
      onExhausted: () => tools.descriptorWaiters.wait(this.#resume),
    });
    if (publication.target === undefined) this.#listener.refuse();
  }

  retarget(target: SocketAddress | undefined): void {
    if (target?.ip !== this.#target?.ip || target?.port !== this.#target?.port) this.#giveUpDials();
    this.#target = target;
    if (target === undefined) return this.#listener.refuse();
    this.#targetAddress = encodeAddress(target);
    this.#listener.unrefuse();
  }

  drain(onDrained: () => void, untilTheirEnd: boolean): void {
    this.#stopListening();
    if (!untilTheirEnd) {
      this.#giveUpDials();
      this.#closeHeaderWaits();
    }
    this.#onDrained = onDrained;
    if (this.#size === 0) this.poller.defer(() => this.#drained());
  }

  gone(addresses: ReadonlySet<string>): void {
    for (const connection of [...this.#connections]) if (addresses.has(connection.to)) connection.reset();
    if (this.#handedOver.size > 0) this.#handedOver.endTo(addresses);
  }

  vacate(): void {
    // Its source ports keep nobody else from binding them.
  }

  destroy(): void {
    this.#stopListening();
    this.#closeHeaderWaits();
    for (const connection of [...this.#connections]) connection.reset();
    this.#handedOver.end();
    this.#review?.cancel();
    this.#review = undefined;
  }

  report(): PublicationReport {
    const { id, protocol, listen } = this.publication;
    let { bytesToContainer, bytesToClients } = this.#counters;
    for (const { client, container } of this.#connections) {
      bytesToContainer += client.received;
      bytesToClients += container.received;
    }
    const { accepted, refused, withoutSourcePort } = this.#counters;
    const { count: failedDials, last: dialFailure } = this.#failures;
    const elsewhere = this.#handedOver.counters;
    return {
      id,
      protocol,
      listen,
      target: this.#target,
      connections: this.#size,
      accepted,
      refused,
      failedDials,
      dialFailure,
      withoutSourcePort,
      bytesToContainer: bytesToContainer + elsewhere.bytesToContainer,
      bytesToClients: bytesToClients + elsewhere.bytesToClients,
    };
  }

  onFailedDial({ to }: TcpConnection, errno: number | undefined): void {
    this.#failures.add(errno);
    if (errno !== EADDRNOTAVAIL) return;
    this.#counters.withoutSourcePort++;
    this.tools.onNoSourcePort(this.publication, { ip: to, port: this.#target?.port ?? 0 });
  }

  onBulk(connection: TcpConnection): void {
    if (!connection.isDetachable || !this.#handedOver.take(connection)) return;
    this.#count(connection);
    this.#connections.delete(connection);
  }

  onEnd(connection: TcpConnection): void {
    this.#count(connection);
    this.#connections.delete(connection);
    this.#onGone();
  }

  #count({ client, container }: TcpConnection): void {
    this.#counters.bytesToContainer += client.received;
    this.#counters.bytesToClients += container.received;
  }

  get #size(): number {
    return this.#connections.size + this.#headerWaits.size + this.#handedOver.size;
  }

  #hasRoom(): boolean {
    this.#now = this.tools.timers.now();
    if (this.#size >= this.#connectionsAtMost) {
      this.#hasStoppedForRoom = true;
      return false;
    }
    if (this.#target === undefined || this.tools.dialer.prepare(familyOf(this.#target.ip))) return true;
    this.tools.descriptorWaiters.wait(this.#resume);
    return false;
  }

  #onConnection(fd: number, client: SocketAddress | undefined): void {
    this.#counters.accepted++;
    if (client === undefined) return this.#pass(fd, undefined, undefined);
    if (this.#trusted.includes(client.ip)) return this.#awaitHeader(fd, client);
    this.#passIfAllowed(fd, client, undefined, undefined);
  }

  #awaitHeader(fd: number, client: SocketAddress): void {
    const wait = new HeaderWait(this.poller, fd, this.#now, {
      onHeader: (wait, ends, rest) => {
        this.#headerWaits.delete(wait);
        this.#passIfAllowed(wait.fd, ends?.source ?? client, ends, rest);
      },
      onRefused: (wait) => {
        this.#headerWaits.delete(wait);
        this.#counters.refused++;
        this.#onGone();
      },
    });
    this.#headerWaits.add(wait);
    this.#reviewSoon();
  }

  #passIfAllowed(fd: number, client: SocketAddress, ends: Ends | undefined, rest: Buffer | undefined): void {
    if (this.#allowed.isEmpty || this.#allowed.includes(client.ip)) return this.#pass(fd, ends, rest);
    this.#counters.refused++;
    resetAndClose(fd);
    this.#onGone();
  }

  #pass(fd: number, ends: Ends | undefined, rest: Buffer | undefined): void {
    // A connection with a header may have waited so long that the target or the prepared socket is gone.
    if (this.#target === undefined || !this.tools.dialer.prepare(familyOf(this.#target.ip))) {
      this.#failures.add(undefined);
      resetAndClose(fd);
      return this.#onGone();
    }
    const greeting = this.#greeting(fd, ends, rest);
    const connection = new TcpConnection(this, fd, this.tools.dialer.take(familyOf(this.#target.ip)), this.#target.ip);
    this.#connections.add(connection);
    if (this.#review === undefined) this.#reviewSoon();
    connection.dial(this.#targetAddress, this.#now, greeting);
  }

  /** What the container is sent before the client's own bytes. */
  #greeting(fd: number, ends: Ends | undefined, rest: Buffer | undefined): Buffer | undefined {
    const { proxyProtocol } = this.options;
    if (proxyProtocol === "none") return rest !== undefined && rest.length > 0 ? rest : undefined;
    const header = encodeHeader(proxyProtocol, ends ?? this.#endsOf(fd));
    return rest === undefined ? header : Buffer.concat([header, rest]);
  }

  #endsOf(fd: number): Ends {
    const destination = localAddress(fd);
    try {
      return { source: peerAddress(fd), destination };
    } catch {
      return { source: { ip: "", port: 0 }, destination }; // reset meanwhile; the container is told UNKNOWN, and then its end
    }
  }

  /** A connection is gone: another may come, and whoever waits for descriptors may look again. */
  #onGone(): void {
    this.tools.descriptorWaiters.freed();
    if (this.#hasStoppedForRoom && this.#size < this.#connectionsAtMost) {
      this.#hasStoppedForRoom = false;
      this.poller.defer(this.#resume);
    }
    if (this.#onDrained && this.#size === 0) this.#drained();
  }

  #drained(): void {
    const onDrained = this.#onDrained;
    this.#onDrained = undefined;
    onDrained?.();
  }

  /** Connections that are still being opened would go on until their time is over, although the container is no longer there. */
  #giveUpDials(): void {
    for (const connection of [...this.#connections]) connection.giveUpDial();
  }

  #stopListening(): void {
    this.#listener.close();
    this.tools.descriptorWaiters.forget(this.#resume);
  }

  #closeHeaderWaits(): void {
    for (const wait of this.#headerWaits) wait.close();
    this.#headerWaits.clear();
  }

  /** One timer for all time limits of all connections, while there are any. */
  #reviewSoon(): void {
    this.#review ??= this.tools.timers.schedule(this.#reviewEvery, () => {
      this.#review = undefined;
      const now = (this.#now = this.tools.timers.now());
      for (const connection of this.#connections) connection.review(now);
      for (const wait of this.#headerWaits) if (now - wait.since >= this.options.proxyHeaderMs) wait.refuse();
      if (this.#connections.size + this.#headerWaits.size > 0) this.#reviewSoon();
    });
  }
}
