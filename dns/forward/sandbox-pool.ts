import { familyOf, type Family } from "../../common/address.js";
import type { Poller } from "../../linux/poller.js";
import { closeDescriptor, disconnectSocket } from "../../linux/socket.js";
import { tcpSocketsAtMost, tcpWaitingAtMost, type ForwardingSockets } from "./forwarding-sockets.js";
import { UdpPool } from "./udp-pool.js";

/** UDP sockets of one namespace to forward from; questions share them beyond that. */
const udpSocketsAtMost = 64;
const askedAtOnce = 8;

/** Asks the daemon for this many more sockets; `false` when there is no daemon. */
export type AskForSockets = (family: Family, udp: number, tcp: number) => boolean;

/** Forwarding sockets inside a container's namespace, of both address families. */
export class SandboxPool {
  readonly #families: Readonly<Record<Family, FamilyPool>>;

  constructor(poller: Poller, ask: AskForSockets) {
    const pool = (family: Family) => new FamilyPool(poller, (udp, tcp) => ask(family, udp, tcp));
    this.#families = { ipv4: pool("ipv4"), ipv6: pool("ipv6") };
  }

  /** The sockets from which an address can be asked. */
  towards(ip: string): ForwardingSockets {
    return this.#families[familyOf(ip)];
  }

  /** Takes over fresh sockets. */
  add(family: Family, udp: readonly number[], tcp: readonly number[]): void {
    for (const fd of udp) this.#families[family].addUdp(fd);
    for (const fd of tcp) this.#families[family].addTcp(fd);
  }

  /** The daemon that was asked is gone: the next shortage asks again. */
  forgetAsking(): void {
    for (const pool of Object.values(this.#families)) pool.forgetAsking();
  }

  close(): void {
    for (const pool of Object.values(this.#families)) pool.close();
  }
}

/**
 * Sockets of one address family. This process may not enter the namespace, so more are asked of the daemon when they run
 * out; until they come, questions share what is there.
 */
class FamilyPool implements ForwardingSockets {
  readonly udp: UdpPool;
  #udpTotal = 0;
  #tcpTotal = 0;
  #asked = false;
  #open = true;
  readonly #tcpIdle: number[] = [];
  readonly #tcpWaiting: ((fd: number | undefined) => void)[] = [];

  constructor(
    poller: Poller,
    private readonly ask: (udp: number, tcp: number) => boolean,
  ) {
    this.udp = new UdpPool(poller, { more: () => this.#askFor(askedAtOnce, 0) }, udpSocketsAtMost);
  }

  addUdp(fd: number): void {
    this.#asked = false;
    this.#udpTotal++;
    this.udp.add(fd);
  }

  addTcp(fd: number): void {
    this.#asked = false;
    this.#tcpTotal++;
    this.#offerTcp(fd);
  }

  takeTcp(ready: (fd: number | undefined) => void): void {
    const fd = this.#tcpIdle.pop();
    if (fd !== undefined) return ready(fd);
    if (this.#tcpWaiting.length >= tcpWaitingAtMost || !this.#open) return ready(undefined);
    this.#tcpWaiting.push(ready);
    this.#askFor(0, 2);
  }

  giveBackTcp(fd: number): void {
    if (!this.#open) return closeDescriptor(fd);
    disconnectSocket(fd);
    this.#offerTcp(fd);
  }

  forgetAsking(): void {
    this.#asked = false;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.udp.close();
    for (const fd of this.#tcpIdle.splice(0)) closeDescriptor(fd);
    for (const ready of this.#tcpWaiting.splice(0)) ready(undefined);
  }

  #offerTcp(fd: number): void {
    const waiting = this.#tcpWaiting.shift();
    if (waiting) waiting(fd);
    else this.#tcpIdle.push(fd);
  }

  #askFor(udp: number, tcp: number): undefined {
    if (this.#asked || !this.#open) return undefined;
    const wantedUdp = Math.min(udp, udpSocketsAtMost - this.#udpTotal);
    const wantedTcp = Math.min(tcp, tcpSocketsAtMost - this.#tcpTotal);
    if (wantedUdp <= 0 && wantedTcp <= 0) return undefined;
    this.#asked = this.ask(Math.max(0, wantedUdp), Math.max(0, wantedTcp));
    return undefined;
  }
}
