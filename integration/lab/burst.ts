import { addressOf, arena, bind, lastErrno } from "../../linux/ffi.js";
import { EAGAIN, EINTR, MSG_DONTWAIT } from "../../linux/constants.js";
import { IOVEC, MMSGHDR, MSGHDR } from "../../linux/layout.js";

const c = { sendmmsg: bind("int sendmmsg(int, uint64_t, unsigned int, int)") };

/** Datagrams sent many at a time through a connected socket. */
export class DatagramBurst {
  readonly #bytes: Buffer;
  readonly #headers: Buffer;
  readonly #vectors: Buffer;
  readonly #headersAt: number;
  #count = 0;

  constructor(
    readonly capacity: number,
    private readonly slotSize: number,
  ) {
    this.#bytes = arena(capacity * slotSize);
    this.#headers = arena(capacity * MMSGHDR.size);
    this.#vectors = arena(capacity * IOVEC.size);
    this.#headersAt = addressOf(this.#headers);
    const [bytesAt, vectorsAt] = [addressOf(this.#bytes), addressOf(this.#vectors)];
    for (let slot = 0; slot < capacity; slot++) {
      this.#vectors.writeBigUInt64LE(BigInt(bytesAt + slot * slotSize), slot * IOVEC.size + IOVEC.base);
      this.#headers.writeBigUInt64LE(BigInt(vectorsAt + slot * IOVEC.size), slot * MMSGHDR.size + MSGHDR.iov);
      this.#headers.writeBigUInt64LE(1n, slot * MMSGHDR.size + MSGHDR.iovLength);
    }
  }

  /** Adds a datagram to the burst. @returns false when there is no room: send first */
  add(bytes: Buffer): boolean {
    if (this.#count === this.capacity || bytes.length > this.slotSize) return false;
    const slot = this.#count++;
    bytes.copy(this.#bytes, slot * this.slotSize);
    this.#vectors.writeBigUInt64LE(BigInt(bytes.length), slot * IOVEC.size + IOVEC.length);
    return true;
  }

  /** Sends the burst, which is empty then. What a full socket buffer or the network does not take is lost. @returns how many were sent */
  send(fd: number): number {
    const count = this.#count;
    this.#count = 0;
    let sent = 0;
    for (let done = 0; done < count;) {
      const moved = c.sendmmsg(fd, this.#headersAt + done * MMSGHDR.size, count - done, MSG_DONTWAIT);
      if (moved > 0) {
        done += moved;
        sent += moved;
      } else if (lastErrno() === EAGAIN) return sent;
      else if (lastErrno() !== EINTR) done++; // this one cannot be sent; the others can
    }
    return sent;
  }
}
