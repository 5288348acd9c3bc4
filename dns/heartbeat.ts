import { randomBytes } from "node:crypto";
import { encodeAddress } from "../linux/address.js";
import { sendDatagram } from "../linux/datagram.js";
import { setTimeToLive } from "../linux/socket.js";
import { HEARTBEAT_SIZE, RESOLVER_ADDRESS, RESOLVER_PORT } from "./protocol.js";

/** What Linux gives a socket's packets (net.ipv4.ip_default_ttl). */
export const USUAL_TTL = 64;
const missedAtMost = 2;
const ownResolver = encodeAddress({ ip: RESOLVER_ADDRESS, port: RESOLVER_PORT });

/**
 * One datagram to our own resolver address: on its way out it renews the takeover, and it comes back only if the takeover
 * works. Sent by the loop that answers, so a hung server stops renewing by itself.
 */
export class Heartbeat {
  readonly #bytes = randomBytes(HEARTBEAT_SIZE);
  #missed = 0;
  #comesBack = false;

  /** Whether the last ones came back. */
  get comesBack(): boolean {
    return this.#comesBack;
  }

  /**
   * Sends the next from a sandbox's UDP socket.
   * @returns whether too many have not come back. Said again as long as that lasts: one repair may fail, or come too late.
   */
  send(udp: number): boolean {
    const isMissed = this.#missed >= missedAtMost;
    if (isMissed) {
      this.#missed = 0;
      this.#comesBack = false;
    }
    // A server that was replaced may have been letting go meanwhile, and this is one socket in both.
    if (this.#missed > 0) setTimeToLive(udp, USUAL_TTL);
    this.#missed++;
    sendDatagram(udp, this.#bytes, ownResolver);
    // The first arms the takeover on its way out; the second is the first that can come back through it.
    if (!this.#comesBack) sendDatagram(udp, this.#bytes, ownResolver);
    return isMissed;
  }

  /** Whether these bytes are one. */
  is(bytes: Buffer, start: number, length: number): boolean {
    return length === HEARTBEAT_SIZE && this.#bytes.compare(bytes, start, start + HEARTBEAT_SIZE) === 0;
  }

  /** One has come back. @returns whether those before it had not */
  cameBack(): boolean {
    const isNews = !this.#comesBack;
    this.#missed = 0;
    this.#comesBack = true;
    return isNews;
  }
}
