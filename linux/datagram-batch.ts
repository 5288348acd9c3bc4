// Datagrams between clients of one socket and sockets of their own towards a server, many at a time and without copying.
import type { SocketAddress } from "../common/address.js";
import { decodeAddress } from "./address.js";
import { addressOf, arena, bind, lastErrno } from "./ffi.js";
import {
  AF_INET,
  EAGAIN,
  EINTR,
  ECONNREFUSED,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IP_PKTINFO,
  IPV6_PKTINFO,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
} from "./constants.js";
import { CMSGHDR, IOVEC, MMSGHDR, MSGHDR, SOCKADDR_SIZE } from "./layout.js";

const c = {
  recvmmsg: bind("int recvmmsg(int, uint64_t, unsigned int, int, uint64_t)"),
  sendmmsg: bind("int sendmmsg(int, uint64_t, unsigned int, int)"),
  send: bind("long send(int, uint64_t, size_t, int)"),
};

/** The largest datagram of UDP over IPv4, which no IPv6 datagram without jumbograms exceeds by more than 20 bytes. */
const DATAGRAM_AT_MOST = 65_527;
// Not a power of two: slots that all begin at the same offset of a page would drive one another out of the processor's cache.
const stride = 65_536 + 192;
const CONTROL_SIZE = 64;
/** `struct in_pktinfo`, `struct in6_pktinfo`. */
const PKTINFO = { size: 12, localAddress: 4 } as const;
const PKTINFO6 = { size: 20, localAddress: 0, interface: 16 } as const;

/** What became of a batch that was sent. */
export interface SentBatch {
  /** Bytes that went out. */
  bytes: number;
  /** Datagrams that did not. */
  lost: number;
}

/** Memory of a batch: slots, and a vector for each whose length is what will be sent of it. */
class Slots {
  readonly bytes: Buffer;
  readonly bytesAt: number;
  readonly vectorsAt: number;
  readonly #vectors: Uint32Array;

  constructor(capacity: number) {
    this.bytes = arena(capacity * stride);
    const vectors = arena(capacity * IOVEC.size);
    this.vectorsAt = addressOf(vectors);
    this.#vectors = new Uint32Array(vectors.buffer);
    this.bytesAt = addressOf(this.bytes);
    for (let slot = 0; slot < capacity; slot++) {
      vectors.writeBigUInt64LE(BigInt(this.bytesAt + slot * stride), slot * IOVEC.size + IOVEC.base);
      this.setLength(slot, DATAGRAM_AT_MOST);
    }
  }

  setLength(slot: number, length: number): void {
    this.#vectors[(slot * IOVEC.size + IOVEC.length) >> 2] = length;
  }

  length(slot: number): number {
    return this.#vectors[(slot * IOVEC.size + IOVEC.length) >> 2]!;
  }
}

/** A run of `struct mmsghdr`. */
class Headers {
  readonly at: number;
  readonly #words: Uint32Array;

  constructor(capacity: number) {
    const memory = arena(capacity * MMSGHDR.size);
    this.at = addressOf(memory);
    this.#words = new Uint32Array(memory.buffer);
    for (let index = 0; index < capacity; index++) this.set(index, MSGHDR.iovLength, 1);
  }

  set(index: number, field: number, value: number): void {
    this.#words[(index * MMSGHDR.size + field) >> 2] = value;
  }

  get(index: number, field: number): number {
    return this.#words[(index * MMSGHDR.size + field) >> 2]!;
  }

  setPointer(index: number, field: number, address: number): void {
    const word = (index * MMSGHDR.size + field) >> 2;
    this.#words[word] = address;
    this.#words[word + 1] = address / 0x1_0000_0000;
  }
}

/**
 * Sends a run of headers. What cannot be sent is left out: a full buffer or an unreachable peer loses a datagram, as
 * UDP may. An ICMP message about an earlier datagram fails the next call once; that one is tried again.
 */
function sendRun(
  fd: number,
  headersAt: number,
  count: number,
  lengthOf: (index: number) => number,
  sent: SentBatch,
): void {
  let done = 0;
  let refusedAt = -1;
  while (done < count) {
    const moved = c.sendmmsg(fd, headersAt + done * MMSGHDR.size, count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (moved > 0) {
      for (let index = done; index < done + moved; index++) sent.bytes += lengthOf(index);
      done += moved;
      continue;
    }
    const errno = lastErrno();
    if (errno === EINTR) continue;
    if (errno === EAGAIN) {
      sent.lost += count - done;
      return;
    }
    if (errno === ECONNREFUSED && refusedAt !== done) {
      refusedAt = done;
      continue;
    }
    sent.lost++;
    done++;
  }
}

/** Datagrams received on a socket that many clients send to, to be passed on through connected sockets. */
export class ClientBatch {
  readonly #slots: Slots;
  readonly #received: Headers;
  readonly #outgoing: Headers;
  readonly #addresses: Buffer;
  readonly #controls: Buffer;
  readonly #queue: number[] = [];
  readonly #lengthOf = (index: number) => this.#slots.length(this.#queue[index]!);
  #used: number;

  constructor(readonly capacity: number) {
    this.#slots = new Slots(capacity);
    this.#received = new Headers(capacity);
    this.#outgoing = new Headers(capacity);
    this.#addresses = arena(capacity * SOCKADDR_SIZE);
    this.#controls = arena(capacity * CONTROL_SIZE);
    const [addressesAt, controlsAt] = [addressOf(this.#addresses), addressOf(this.#controls)];
    for (let slot = 0; slot < capacity; slot++) {
      this.#received.setPointer(slot, MSGHDR.name, addressesAt + slot * SOCKADDR_SIZE);
      this.#received.setPointer(slot, MSGHDR.control, controlsAt + slot * CONTROL_SIZE);
      this.#received.setPointer(slot, MSGHDR.iov, this.#slots.vectorsAt + slot * IOVEC.size);
    }
    this.#used = capacity;
  }

  /** Receives what waits, up to the capacity. @returns how many */
  receive(fd: number): number {
    for (let slot = 0; slot < this.#used; slot++) {
      this.#slots.setLength(slot, DATAGRAM_AT_MOST);
      this.#received.set(slot, MSGHDR.nameLength, SOCKADDR_SIZE);
      this.#received.set(slot, MSGHDR.controlLength, CONTROL_SIZE);
    }
    const received = c.recvmmsg(fd, this.#received.at, this.capacity, MSG_DONTWAIT, 0);
    this.#used = received > 0 ? received : 0; // a pending error of the socket is spent by this call
    for (let slot = 0; slot < this.#used; slot++) this.#slots.setLength(slot, this.#received.get(slot, MMSGHDR.length));
    return this.#used;
  }

  length(slot: number): number {
    return this.#slots.length(slot);
  }

  /** The sender, as a key of a Map: a number for IPv4, a string for IPv6. */
  senderKey(slot: number): number | string {
    const at = slot * SOCKADDR_SIZE;
    if (this.#addresses[at] === AF_INET)
      return this.#addresses.readUInt32BE(at + 4) * 65_536 + this.#addresses.readUInt16BE(at + 2);
    return this.#addresses.latin1Slice(at + 2, at + 28);
  }

  sender(slot: number): SocketAddress {
    return decodeAddress(this.#addresses, slot * SOCKADDR_SIZE);
  }

  /** Whether the sender used the local address of an earlier one: replies to both then leave from the same. */
  hasLocalAddressOf(slot: number, path: ReturnPath): boolean {
    const at = slot * CONTROL_SIZE + CMSGHDR.size;
    if (this.#addresses[slot * SOCKADDR_SIZE] === AF_INET)
      return (
        path.control.readUInt32LE(CMSGHDR.size + PKTINFO.localAddress) ===
        this.#controls.readUInt32LE(at + PKTINFO.localAddress)
      );
    return path.control.compare(this.#controls, at, at + 16, CMSGHDR.size, CMSGHDR.size + 16) === 0;
  }

  /** How replies get back to a slot's sender, from the address it used. */
  returnPath(slot: number): ReturnPath {
    const address = this.#addresses.subarray(slot * SOCKADDR_SIZE, (slot + 1) * SOCKADDR_SIZE);
    const control = this.#controls.subarray(slot * CONTROL_SIZE, (slot + 1) * CONTROL_SIZE);
    return new ReturnPath(address, control, this.#received.get(slot, MSGHDR.controlLength));
  }

  /** Adds a slot to what {@link sendQueued} sends. */
  queue(slot: number): void {
    const index = this.#queue.length;
    this.#outgoing.setPointer(index, MSGHDR.iov, this.#slots.vectorsAt + slot * IOVEC.size);
    this.#queue.push(slot);
  }

  /** Sends what was queued to the peer of a connected socket. */
  sendQueued(fd: number, sent: SentBatch): void {
    if (this.#queue.length === 1 && this.#sendOne(fd, this.#queue[0]!, sent)) {
      this.#queue.length = 0;
      return;
    }
    sendRun(fd, this.#outgoing.at, this.#queue.length, this.#lengthOf, sent);
    this.#queue.length = 0;
  }

  /** The usual case, in a cheaper call. @returns false when it failed: then sending it as one of many tells why */
  #sendOne(fd: number, slot: number, sent: SentBatch): boolean {
    const length = this.#slots.length(slot);
    if (c.send(fd, this.#slots.bytesAt + slot * stride, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return false;
    sent.bytes += length;
    return true;
  }
}

/** A client's address, and the one of ours that it used, as sendmsg takes them. */
export class ReturnPath {
  readonly #memory: Buffer;
  readonly control: Buffer;
  readonly addressAt: number;
  readonly addressLength: number;
  readonly controlAt: number;
  /** 0 when the kernel chooses what to send from. */
  readonly controlLength: number;

  constructor(address: Buffer, control: Buffer, controlLength: number) {
    this.#memory = arena(SOCKADDR_SIZE + CONTROL_SIZE);
    address.copy(this.#memory);
    this.control = this.#memory.subarray(SOCKADDR_SIZE);
    control.copy(this.control);
    this.addressAt = addressOf(this.#memory);
    this.controlAt = this.addressAt + SOCKADDR_SIZE;
    this.addressLength = address.readUInt16LE(0) === AF_INET ? 16 : 28;
    this.controlLength = this.#prepare(controlLength);
  }

  /** Makes what was received fit for sending. @returns its length */
  #prepare(received: number): number {
    if (received < CMSGHDR.size + PKTINFO.size) return 0;
    const level = this.control.readInt32LE(CMSGHDR.level);
    const type = this.control.readInt32LE(CMSGHDR.type);
    const data = this.control.subarray(CMSGHDR.size);
    if (level === IPPROTO_IP && type === IP_PKTINFO) {
      data.writeInt32LE(0, 0); // the route decides the interface
      return align(CMSGHDR.size + PKTINFO.size);
    }
    if (level !== IPPROTO_IPV6 || type !== IPV6_PKTINFO || data[0] === 0xff) return 0; // nothing can be sent from a multicast address
    const isLinkLocal = data[0] === 0xfe && (data[1]! & 0xc0) === 0x80;
    if (!isLinkLocal) data.writeInt32LE(0, PKTINFO6.interface);
    return align(CMSGHDR.size + PKTINFO6.size);
  }
}

/** Replies from connected sockets, collected and sent to many clients through one. */
export class ReplyBatch {
  readonly #slots: Slots;
  readonly #received: Headers;
  readonly #outgoing: Headers;
  readonly #lengthOf = (index: number) => this.#slots.length(index);
  #count = 0;

  constructor(readonly capacity: number) {
    const slots = new Slots(capacity);
    this.#received = new Headers(capacity);
    this.#outgoing = new Headers(capacity);
    this.#slots = slots;
    const full = arena(capacity * IOVEC.size); // lengths of what is received must not depend on those of what was sent
    const bytesAt = addressOf(slots.bytes);
    const fullAt = addressOf(full);
    for (let slot = 0; slot < capacity; slot++) {
      full.writeBigUInt64LE(BigInt(bytesAt + slot * stride), slot * IOVEC.size + IOVEC.base);
      full.writeBigUInt64LE(BigInt(DATAGRAM_AT_MOST), slot * IOVEC.size + IOVEC.length);
      this.#received.setPointer(slot, MSGHDR.iov, fullAt + slot * IOVEC.size);
      this.#outgoing.setPointer(slot, MSGHDR.iov, slots.vectorsAt + slot * IOVEC.size);
    }
    this.#full = full;
  }

  readonly #full: Buffer;

  /** Replies collected and not yet sent. */
  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === this.capacity;
  }

  /**
   * Collects what waits on a connected socket, as far as there is room.
   * @returns how many, or an errno, negative: ECONNREFUSED when nothing listens where it was sent
   */
  collect(fd: number, path: ReturnPath): number {
    const first = this.#count;
    const received = c.recvmmsg(fd, this.#received.at + first * MMSGHDR.size, this.capacity - first, MSG_DONTWAIT, 0);
    if (received < 0) return -lastErrno();
    for (let slot = first; slot < first + received; slot++) {
      this.#slots.setLength(slot, this.#received.get(slot, MMSGHDR.length));
      this.#outgoing.setPointer(slot, MSGHDR.name, path.addressAt);
      this.#outgoing.set(slot, MSGHDR.nameLength, path.addressLength);
      this.#outgoing.setPointer(slot, MSGHDR.control, path.controlAt);
      this.#outgoing.set(slot, MSGHDR.controlLength, path.controlLength);
    }
    this.#count = first + received;
    return received;
  }

  /** Sends all that was collected. The return paths must still be there. */
  send(fd: number, sent: SentBatch): void {
    sendRun(fd, this.#outgoing.at, this.#count, this.#lengthOf, sent);
    this.#count = 0;
  }

  /** Memory the headers point to, kept as long as they are. */
  get memory(): number {
    return this.#full.length + this.#slots.bytes.length;
  }
}

function align(length: number): number {
  return (length + 7) & ~7;
}
