import { addressOf, arena, bind, lastErrno } from "./ffi.js";
import { ECONNREFUSED, MSG_DONTWAIT, EAGAIN, EINTR } from "./constants.js";
import { IOVEC, MMSGHDR, MSGHDR, SOCKADDR_SIZE } from "./layout.js";

const c = {
  recvmmsg: bind("int recvmmsg(int, uint64_t, unsigned int, int, uint64_t)"),
  sendmmsg: bind("int sendmmsg(int, uint64_t, unsigned int, int)"),
};

/**
 * Datagrams received and answered many at a time: slot i holds the message, its sender and its length, and a reply
 * written into the same slot goes back to the same sender. The memory is shared by all sockets of a process.
 */
export class MessageBatch {
  /** All slots, `slotSize` bytes each. */
  readonly bytes: Buffer;
  readonly #headers: Buffer;
  readonly #headers32: Uint32Array;
  readonly #vectors32: Uint32Array;
  readonly #addresses: Buffer;
  readonly #headersAt: number;
  /** Slots whose lengths the last round has changed. */
  #used: number;

  constructor(
    readonly capacity: number,
    readonly slotSize: number,
  ) {
    this.bytes = arena(capacity * slotSize);
    this.#addresses = arena(capacity * SOCKADDR_SIZE);
    const vectors = arena(capacity * IOVEC.size);
    this.#headers = arena(capacity * MMSGHDR.size);
    this.#headers32 = new Uint32Array(this.#headers.buffer);
    this.#vectors32 = new Uint32Array(vectors.buffer);
    this.#headersAt = addressOf(this.#headers);
    const [bytesAt, addressesAt, vectorsAt] = [addressOf(this.bytes), addressOf(this.#addresses), addressOf(vectors)];
    this.#used = capacity;
    for (let slot = 0; slot < capacity; slot++) {
      vectors.writeBigUInt64LE(BigInt(bytesAt + slot * slotSize), slot * IOVEC.size + IOVEC.base);
      const header = slot * MMSGHDR.size;
      this.#headers.writeBigUInt64LE(BigInt(addressesAt + slot * SOCKADDR_SIZE), header + MSGHDR.name);
      this.#headers.writeBigUInt64LE(BigInt(vectorsAt + slot * IOVEC.size), header + MSGHDR.iov);
      this.#headers.writeBigUInt64LE(1n, header + MSGHDR.iovLength);
    }
  }

  /** Receives what waits, up to the capacity. @returns how many; 0 when nothing waits. */
  receive(fd: number): number {
    for (let slot = 0; slot < this.#used; slot++) {
      this.setLength(slot, this.slotSize);
      this.#headers32[(slot * MMSGHDR.size + MSGHDR.nameLength) >> 2] = SOCKADDR_SIZE;
    }
    const received = c.recvmmsg(fd, this.#headersAt, this.capacity, MSG_DONTWAIT, 0);
    return (this.#used = received > 0 ? received : 0); // a pending socket error (an ICMP message for an earlier reply) is spent by this call
  }

  /** Bytes received into a slot. */
  length(slot: number): number {
    return this.#headers32[(slot * MMSGHDR.size + MMSGHDR.length) >> 2]!;
  }

  /** UDP port the slot's message came from. */
  senderPort(slot: number): number {
    return this.#addresses.readUInt16BE(slot * SOCKADDR_SIZE + 2);
  }

  /** Whether the slot's message came from this IPv4 address, given as a number in network order. */
  senderIPv4(slot: number): number {
    return this.#addresses.readUInt32BE(slot * SOCKADDR_SIZE + 4);
  }

  /** A copy of the sender's address, to answer later with {@link MessageBatch.address}. */
  copySender(slot: number): Buffer {
    return Buffer.from(this.#addresses.subarray(slot * SOCKADDR_SIZE, slot * SOCKADDR_SIZE + 16));
  }

  /** Bytes of the reply in a slot. */
  setLength(slot: number, length: number): void {
    this.#vectors32[(slot * IOVEC.size + IOVEC.length) >> 2] = length;
  }

  /**
   * Moves what will be sent from one slot to an earlier one, to leave out messages without a reply:
   * message, length and address.
   */
  move(from: number, to: number, length: number): void {
    this.bytes.copy(this.bytes, to * this.slotSize, from * this.slotSize, from * this.slotSize + length);
    this.#addresses.copy(this.#addresses, to * SOCKADDR_SIZE, from * SOCKADDR_SIZE, (from + 1) * SOCKADDR_SIZE);
    this.setLength(to, length);
  }

  /**
   * Sends the first `count` slots. A full socket buffer or an unreachable client loses that reply, as UDP may.
   * @returns how many were sent
   */
  send(fd: number, count: number): number {
    let done = 0;
    let sent = 0;
    while (done < count) {
      const moved = c.sendmmsg(fd, this.#headersAt + done * MMSGHDR.size, count - done, MSG_DONTWAIT);
      if (moved > 0) {
        done += moved;
        sent += moved;
        continue;
      }
      const errno = lastErrno();
      if (errno === EAGAIN) return sent;
      if (errno !== EINTR && errno !== ECONNREFUSED) done++; // this one cannot be sent; the others can
    }
    return sent;
  }
}
