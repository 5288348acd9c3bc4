import { EPOLLIN } from "../../linux/constants.js";
import { broadcastMac, LinkSocket, linkProtocols } from "../../linux/link-socket.js";
import type { Poller, Watch } from "../../linux/poller.js";
import { arpAnnouncement, arpProbe, tellsOfOther } from "./arp.js";

// RFC 5227 has three probes within some seconds; whoever waits for a sandbox does not have them. ms
const probesAtMost = 2;
const between = 200;
/** Packets that are read before others have their turn. */
const atOnce = 64;

/** Finds out whether somebody on the LAN has an address, and tells all that it is ours if nobody has. Owns its socket and timer. */
export class AddressProbe {
  readonly #socket: LinkSocket;
  readonly #watch: Watch;
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;
  #isOpen = true;

  /**
   * Made in the link's namespace. Throws a LinuxError.
   * @param onProbed told once, unless it is closed first
   */
  constructor(
    poller: Poller,
    link: number,
    private readonly mac: string,
    private readonly ip: string,
    private readonly onProbed: (isTaken: boolean) => void,
  ) {
    this.#socket = new LinkSocket(link, linkProtocols.arp);
    this.#watch = poller.watch(this.#socket.fd, EPOLLIN, () => this.#receive());
    this.#next();
  }

  /** Can be called twice. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#timer);
    this.#watch.close();
    this.#socket.close();
  }

  #next(): void {
    if (this.#sent === probesAtMost) return this.#end(false);
    this.#sent++;
    this.#send(arpProbe(this.mac, this.ip));
    this.#timer = setTimeout(() => this.#next(), between);
  }

  /** A link that is down loses what it is given. */
  #send(packet: Buffer): void {
    try {
      this.#socket.send(packet, broadcastMac);
    } catch {
      // as if nobody had heard it
    }
  }

  #receive(): void {
    try {
      for (let count = 0; count < atOnce; count++) {
        const packet = this.#socket.receive();
        if (!packet) return;
        if (tellsOfOther(packet.bytes, this.mac, this.ip)) return this.#end(true);
      }
    } catch {
      // the link is down: it is said once
    }
  }

  #end(isTaken: boolean): void {
    if (!isTaken) this.#send(arpAnnouncement(this.mac, this.ip));
    this.close();
    this.onProbed(isTaken);
  }
}
