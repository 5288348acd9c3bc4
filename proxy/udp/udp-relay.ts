import { familyOf, unspecified, type Family, type SocketAddress } from "../../common/address.js";
import { encodeAddress } from "../../linux/address.js";
import { EPOLLIN } from "../../linux/constants.js";
import { ClientBatch, ReplyBatch, type ReturnPath, type SentBatch } from "../../linux/datagram-batch.js";
import { acceptClients, rejectClients } from "../../linux/listener.js";
import type { Poller, Ready, Watch } from "../../linux/poller.js";
import {
  bindSocket,
  closeDescriptor,
  localAddress,
  setReceiveBuffer,
  setReuseByOwn,
  tellDestinations,
  udpSocket,
} from "../../linux/socket.js";
import { AGAIN, startConnecting } from "../../linux/stream.js";
import type { Timer, TimerWheel } from "../../linux/timer-wheel.js";
import { errorCode } from "../../common/errors.js";
import { DialFailures } from "../dial/dial-failures.js";
import { isExhausted } from "../dial/dial.js";
import { FlowTable, type Listed } from "./flow-table.js";
import { Networks } from "../publication/networks.js";
import type { Publication, PublicationOptions } from "../publication/publication.js";
import type { SourcePorts } from "../dial/source-ports.js";
import { noCounters, type PublicationReport, type Relay } from "../publication/relay.js";

export interface UdpTools {
  readonly poller: Poller;
  readonly timers: TimerWheel;
  readonly sourcePorts: SourcePorts;
  /** No source port was left towards a target. */
  onNoSourcePort(publication: Publication, target: SocketAddress): void;
  /** As for TCP. */
  readonly onFailedDials?: (publication: string, reason: string) => void;
}

/** Bytes that may wait to be passed on, at the port and at each flow; at a flow as many as the system allows an ordinary user. */
const flowBuffer = 4 << 20;

const batchSize = 64;
/** Batches taken from one socket before others get a turn. */
const batchesAtOnce = 4;
const reviewAtLeast = 20; // ms
const reviewAtMost = 1000;

// One of each for the whole process: what is received is sent in the same turn.
const clients = new ClientBatch(batchSize);
const replies = new ReplyBatch(batchSize);
const sent: SentBatch = { bytes: 0, lost: 0 };

/** One client's datagrams, as seen by the container: a socket of its own, and so a port of its own. */
class Flow implements Ready, Listed<Flow> {
  sibling: Flow | undefined;
  older: Flow | undefined;
  newer: Flow | undefined;
  token = -1;
  /** ms, by the relay's clock. */
  usedAt = 0;
  /** Slots of the current batch that are to be sent through it: the first, and how they go on. */
  pending: number[] = [];

  constructor(
    readonly relay: UdpRelay,
    readonly key: number | string,
    readonly path: ReturnPath,
    readonly fd: number,
    readonly to: SocketAddress,
    /** It is sent from. */
    readonly sourcePort: number,
  ) {}

  onReady(): void {
    this.relay.onReply(this);
  }
}

/** One UDP publication: its socket and its flows. */
export class UdpRelay implements Relay {
  readonly #flows = new FlowTable<Flow>();
  readonly #counters = noCounters();
  readonly #failures = new DialFailures((reason) => this.tools.onFailedDials?.(this.publication.id, reason));
  readonly #allowed: Networks;
  readonly #reviewEvery: number;
  readonly #busy: Flow[] = [];
  #watch: Watch | undefined;
  #target: SocketAddress | undefined;
  #targetAddress: Buffer;
  #now: number;
  #review: Timer | undefined;
  #repliesScheduled = false;
  #open = true;

  /** @param fd bound; the relay's from now on */
  constructor(
    private readonly tools: UdpTools,
    private readonly publication: Publication,
    private readonly options: Required<PublicationOptions>,
    private readonly fd: number,
  ) {
    tellDestinations(fd);
    this.#allowed = new Networks(options.allowFrom);
    this.#reviewEvery = Math.min(reviewAtMost, Math.max(reviewAtLeast, options.udpIdleMs / 8));
    this.#target = publication.target;
    this.#targetAddress = publication.target ? encodeAddress(publication.target) : Buffer.alloc(0);
    this.#now = tools.timers.now();
    this.#watch = tools.poller.watch(fd, EPOLLIN, () => this.#onClients());
    if (publication.target === undefined) rejectClients(fd);
    else acceptClients(fd); // an earlier process may have left it refusing
  }

  retarget(target: SocketAddress | undefined): void {
    if (!this.#open) return;
    // The next datagram of each client goes to the new target.
    if (target?.ip !== this.#target?.ip || target?.port !== this.#target?.port) this.#dropFlows();
    this.#target = target;
    if (target === undefined) return rejectClients(this.fd);
    this.#targetAddress = encodeAddress(target);
    acceptClients(this.fd);
  }

  drain(onDrained: () => void): void {
    // A flow has no end that could be waited for, and without its socket no reply gets back.
    this.destroy();
    this.tools.poller.defer(onDrained);
  }

  gone(addresses: ReadonlySet<string>): void {
    for (const flow of [...this.#flows]) if (addresses.has(flow.to.ip)) this.#drop(flow);
  }

  vacate(ports: ReadonlySet<number>): void {
    for (const flow of [...this.#flows]) if (ports.has(flow.sourcePort)) this.#drop(flow);
  }

  destroy(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#review?.cancel();
    this.#dropFlows();
    this.#watch?.close();
    closeDescriptor(this.fd);
  }

  report(): PublicationReport {
    const { id, protocol, listen } = this.publication;
    return {
      id,
      protocol,
      listen,
      target: this.#target,
      connections: this.#flows.size,
      ...this.#counters,
      failedDials: this.#failures.count,
      dialFailure: this.#failures.last,
    };
  }

  /** Replies wait on a flow's socket. */
  onReply(flow: Flow): void {
    collectFor(this);
    const collected = replies.collect(flow.fd, flow.path);
    // ECONNREFUSED: nothing listened in the container at that moment. The flow stays for when something does.
    if (collected <= 0) {
      if (collected < 0 && collected !== AGAIN) this.#failures.add(-collected);
      return;
    }
    this.#touch(flow);
    if (this.#repliesScheduled) return;
    this.#repliesScheduled = true;
    this.tools.poller.defer(() => {
      this.#repliesScheduled = false;
      if (collecting === this) sendReplies();
    });
  }

  /** Sends the replies that were collected for this relay's clients. */
  sendCollected(): void {
    sent.bytes = sent.lost = 0;
    replies.send(this.fd, sent);
    this.#counters.bytesToClients += sent.bytes;
    this.#counters.refused += sent.lost;
  }

  #onClients(): void {
    this.#now = this.tools.timers.now();
    for (let round = 0; round < batchesAtOnce; round++) {
      const received = clients.receive(this.fd);
      for (let slot = 0; slot < received; slot++) {
        const flow = this.#flowOf(slot);
        if (flow === undefined) {
          this.#counters.refused++;
          continue;
        }
        if (flow.pending.length === 0) this.#busy.push(flow);
        flow.pending.push(slot);
      }
      this.#sendToContainer();
      if (received < batchSize) return;
    }
  }

  #sendToContainer(): void {
    sent.bytes = sent.lost = 0;
    for (const flow of this.#busy) {
      for (const slot of flow.pending) clients.queue(slot);
      flow.pending.length = 0;
      clients.sendQueued(flow.fd, sent);
    }
    this.#busy.length = 0;
    this.#counters.bytesToContainer += sent.bytes;
    this.#counters.refused += sent.lost;
  }

  #flowOf(slot: number): Flow | undefined {
    const key = clients.senderKey(slot);
    let flow = this.#flows.first(key);
    while (flow !== undefined && !clients.hasLocalAddressOf(slot, flow.path)) flow = flow.sibling;
    flow ??= this.#begin(slot, key);
    if (flow !== undefined) this.#touch(flow);
    return flow;
  }

  #touch(flow: Flow): void {
    flow.usedAt = this.#now;
    this.#flows.touch(flow);
  }

  #begin(slot: number, key: number | string): Flow | undefined {
    if (this.#target === undefined) return undefined;
    if (!this.#allowed.isEmpty && !this.#allowed.includes(clients.sender(slot).ip)) return undefined;
    while (this.#flows.size >= this.options.udpFlows && this.#dropOldest());
    const connected = this.#connectedSocket(this.#target);
    if (connected === undefined) return undefined;
    const { fd, port } = connected;
    const flow = new Flow(this, key, clients.returnPath(slot), fd, this.#target, port);
    flow.token = this.tools.poller.add(fd, EPOLLIN, flow);
    this.#flows.add(flow);
    this.#counters.accepted++;
    this.#reviewSoon();
    return flow;
  }

  /** @returns undefined when there is no descriptor for it, or no way to the target */
  #connectedSocket(target: SocketAddress): { readonly fd: number; readonly port: number } | undefined {
    const fd = this.#socket(familyOf(target.ip));
    if (fd === undefined) return undefined;
    const own = this.tools.sourcePorts.take(target, (port, isShared) => bindFlow(fd, target, port, isShared));
    if (own === undefined) this.#tellShortage(target);
    if (this.#connect(fd)) {
      setReceiveBuffer(fd, flowBuffer);
      return { fd, port: own ?? localAddress(fd).port };
    }
    closeDescriptor(fd);
    if (own !== undefined) this.tools.sourcePorts.giveBack(target, own);
    return undefined;
  }

  /** A socket that is not bound is given a port by the kernel; with none left, the flow that was idle longest makes room. */
  #connect(fd: number): boolean {
    let result = startConnecting(fd, this.#targetAddress);
    if (result === AGAIN && this.#dropOldest()) result = startConnecting(fd, this.#targetAddress);
    if (result !== 0) this.#failures.add(-result);
    return result === 0;
  }

  /** Others may want the port that the kernel chooses, but no client is turned away for that. */
  #tellShortage(target: SocketAddress): void {
    this.#counters.withoutSourcePort++;
    this.tools.onNoSourcePort(this.publication, target);
  }

  #socket(family: Family): number | undefined {
    for (;;) {
      try {
        return udpSocket(family);
      } catch (error) {
        if (!isExhausted(errorCode(error))) throw error;
        if (!this.#dropOldest()) return undefined;
      }
    }
  }

  /** @returns false when there is none that may go: those with datagrams of the current batch stay */
  #dropOldest(): boolean {
    const { oldest } = this.#flows;
    if (oldest === undefined) return false;
    if (oldest.pending.length > 0) this.#sendToContainer();
    this.#drop(oldest);
    return true;
  }

  #drop(flow: Flow): void {
    if (collecting === this) sendReplies(); // they point to the flow's memory
    this.#flows.remove(flow);
    this.tools.poller.release(flow.token);
    closeDescriptor(flow.fd);
    this.tools.sourcePorts.giveBack(flow.to, flow.sourcePort);
  }

  #dropFlows(): void {
    for (let flow = this.#flows.oldest; flow !== undefined; flow = this.#flows.oldest) this.#drop(flow);
  }

  #reviewSoon(): void {
    this.#review ??= this.tools.timers.schedule(this.#reviewEvery, () => {
      this.#review = undefined;
      this.#now = this.tools.timers.now();
      // Replies are dated with the last look at the clock, which may be one review ago.
      const idle = this.options.udpIdleMs + this.#reviewEvery;
      for (
        let { oldest } = this.#flows;
        oldest !== undefined && this.#now - oldest.usedAt >= idle;
        { oldest } = this.#flows
      )
        this.#drop(oldest);
      if (this.#flows.size > 0) this.#reviewSoon();
    });
  }
}

/**
 * A port that is not ours already is taken only if nobody has it. It is shared with our own flows alone: with SO_REUSEADDR any
 * user of the host could bind it as well, connect to the same target, and have the replies.
 */
function bindFlow(fd: number, target: SocketAddress, port: number, isShared: boolean): boolean {
  try {
    if (isShared) setReuseByOwn(fd, true);
    bindSocket(fd, { ip: unspecified[familyOf(target.ip)], port });
    if (!isShared) setReuseByOwn(fd, true);
    return true;
  } catch (error) {
    if (errorCode(error) !== "EADDRINUSE" && errorCode(error) !== "EACCES") throw error;
    if (isShared) setReuseByOwn(fd, false);
    return false;
  }
}

/** The relay whose replies are in the batch. */
let collecting: UdpRelay | undefined;

/** Makes room for a relay's replies: a batch holds those of one. */
function collectFor(relay: UdpRelay): void {
  if (replies.isFull || collecting !== relay) sendReplies();
  collecting = relay;
}

function sendReplies(): void {
  const relay = collecting;
  collecting = undefined;
  if (replies.count > 0) relay?.sendCollected();
}
