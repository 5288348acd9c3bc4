import type { Family } from "../../common/address.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor, outgoingSocket, udpSocket } from "../../linux/socket.js";
import { UdpPool } from "./udp-pool.js";

const hostSocketsAtMost = 512;
/** TCP sockets of one container at once, in each family, and how many questions may wait for one. */
export const tcpSocketsAtMost = 16;
export const tcpWaitingAtMost = 64;

/** UDP and TCP sockets of one namespace and address family from which questions are forwarded. */
export interface ForwardingSockets {
  readonly udp: UdpPool;
  takeTcp(ready: (fd: number | undefined) => void): void;
  giveBackTcp(fd: number): void;
}

/**
 * Sockets of the host's own namespace: made when they are needed; TCP sockets are closed after use. Everybody shares
 * those for UDP. Each owner has a bounded number for TCP, or a flood of truncated answers would use up all descriptors.
 */
export class HostSockets {
  readonly #udp: UdpPool;
  readonly #shares = new WeakMap<object, ForwardingSockets>();

  constructor(
    poller: Poller,
    private readonly family: Family,
  ) {
    this.#udp = new UdpPool(poller, { more: () => orNone(() => udpSocket(family)) }, hostSocketsAtMost);
  }

  /** An owner always gets the same share, which lives as long as the owner. */
  shareOf(owner: object): ForwardingSockets {
    const known = this.#shares.get(owner);
    if (known) return known;
    const share = new HostShare(this.#udp, this.family);
    this.#shares.set(owner, share);
    return share;
  }

  close(): void {
    this.#udp.close();
  }
}

class HostShare implements ForwardingSockets {
  readonly #waiting: ((fd: number | undefined) => void)[] = [];
  #inUse = 0;

  constructor(
    readonly udp: UdpPool,
    private readonly family: Family,
  ) {}

  takeTcp(ready: (fd: number | undefined) => void): void {
    if (this.#inUse < tcpSocketsAtMost) return this.#give(ready);
    if (this.#waiting.length >= tcpWaitingAtMost) return ready(undefined);
    this.#waiting.push(ready);
  }

  giveBackTcp(fd: number): void {
    closeDescriptor(fd);
    this.#inUse--;
    const next = this.#waiting.shift();
    if (next) this.#give(next);
  }

  #give(ready: (fd: number | undefined) => void): void {
    const fd = orNone(() => outgoingSocket(this.family));
    if (fd !== undefined) this.#inUse++;
    ready(fd);
  }
}

/** Out of descriptors or memory: the question has to share a socket, or fails; nobody else's does. */
function orNone(make: () => number): number | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
