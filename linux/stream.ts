// Moving bytes of streams with as little around the system call as possible: a failure is a number, not an exception.
import type { SocketAddress } from "../common/address.js";
import { decodeAddress } from "./address.js";
import {
  EAGAIN,
  EINTR,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_OOB,
  MSG_PEEK,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from "./constants.js";
import { addressOf, arena, bind, lastErrno } from "./ffi.js";

const c = {
  recv: bind("long recv(int, uint64_t, size_t, int)"),
  send: bind("long send(int, uint64_t, size_t, int)"),
  sendBuffer: bind("long send(int, void *, size_t, int)"),
  splice: bind("long splice(int, uint64_t, int, uint64_t, size_t, unsigned int)"),
  shutdown: bind("int shutdown(int, int)"),
  connect: bind("int connect(int, void *, int)"),
  accept4: bind("int accept4(int, uint64_t, uint64_t, int)"),
  ioctl: bind("int ioctl(int, unsigned long, void *)"),
};

/** Bytes the shared buffer holds. */
export const SHARED_SIZE = 64 * 1024;
/** What {@link receiveShared} fills. It belongs to whoever calls, until the next call. */
export const shared = arena(SHARED_SIZE);
const sharedAt = addressOf(shared);
const intScratch = arena(4);

/** Nothing could be moved without waiting. */
export const AGAIN = -EAGAIN;

const MOVE_WITHOUT_WAITING = 1 | 2; // SPLICE_F_MOVE | SPLICE_F_NONBLOCK
const SIOCOUTQ = 0x5411;
const SIOCATMARK = 0x8905;

/** Receives into the shared buffer. @returns bytes (0: end of the stream), {@link AGAIN}, or another errno, negative */
export function receiveShared(fd: number): number {
  const received = c.recv(fd, sharedAt, SHARED_SIZE, MSG_DONTWAIT);
  return received >= 0 ? received : failure();
}

/** Sends a part of the shared buffer. @returns bytes taken, {@link AGAIN}, or another errno, negative */
export function sendShared(fd: number, offset: number, length: number): number {
  const sent = c.send(fd, sharedAt + offset, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent >= 0 ? sent : failure();
}

/** Sends bytes from anywhere. @returns bytes taken, {@link AGAIN}, or another errno, negative */
export function sendAny(fd: number, bytes: Buffer): number {
  const sent = c.sendBuffer(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent >= 0 ? sent : failure();
}

/**
 * Moves up to `length` bytes between a pipe and a socket inside the kernel. @returns as {@link receiveShared}, but that 0 from
 * a socket does not prove its end: it also means a byte that was marked urgent, with the end behind it (tcp_splice_read)
 */
export function spliceBytes(from: number, to: number, length: number): number {
  const moved = c.splice(from, 0, to, 0, length, MOVE_WITHOUT_WAITING);
  return moved >= 0 ? moved : failure();
}

/** Whether the next byte to be received is the one its sender marked urgent (sockatmark(3)). */
export function isAtUrgent(fd: number): boolean {
  return c.ioctl(fd, SIOCATMARK, intScratch) === 0 && intScratch.readInt32LE(0) === 1;
}

/**
 * At the place of a byte marked urgent: receives it, apart from the stream. The next receive goes on behind it.
 * @returns the byte; undefined when it was received already, or never comes; {@link AGAIN} while it is still to come, or another errno, negative
 */
export function receiveUrgent(fd: number): Buffer | number | undefined {
  for (let tries = 0; tries < 2; tries++) {
    const received = c.recv(fd, sharedAt, 1, MSG_OOB | MSG_DONTWAIT);
    if (received === 1) return Buffer.from(shared.subarray(0, 1));
    if (received === 0 || failure() !== AGAIN) return undefined;
    // The mark may be reported before its byte comes, and a receive would then skip that byte unseen.
    const waiting = peek(fd);
    if (waiting < 0) return waiting;
  }
  return undefined;
}

/** Whether something other than an urgent byte waits to be received. @returns as {@link receiveShared}, of which it takes nothing */
export function peek(fd: number): number {
  const waiting = c.recv(fd, sharedAt, 1, MSG_PEEK | MSG_DONTWAIT);
  return waiting >= 0 ? waiting : failure();
}

/** Sends bytes, the last of which is marked urgent. @returns as {@link sendAny} */
export function sendUrgent(fd: number, bytes: Buffer): number {
  const sent = c.sendBuffer(fd, bytes, bytes.length, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent >= 0 ? sent : failure();
}

/**
 * Ends one direction of a connection. A peer that is gone already makes no difference.
 * @param how SHUT_RD or SHUT_WR
 */
export function shutdownSocket(fd: number, how: number): void {
  c.shutdown(fd, how); // ENOTCONN: it was reset meanwhile, which the next receive tells
}

/** Bytes a stream socket holds that its peer has not acknowledged yet; 0 when that cannot be told. */
export function unacknowledged(fd: number): number {
  return c.ioctl(fd, SIOCOUTQ, intScratch) === 0 ? intScratch.readInt32LE(0) : 0;
}

function failure(): number {
  const errno = lastErrno();
  return errno === EINTR ? AGAIN : -errno;
}

/**
 * Starts a connection. @param address as {@link encodeAddress} gives it
 * @returns 0 when it stands already, or an errno, negative: EINPROGRESS while it is being made
 */
export function startConnecting(fd: number, address: Buffer): number {
  return c.connect(fd, address, address.length) === 0 ? 0 : -lastErrno();
}

const senderScratch = arena(128);
const senderAt = addressOf(senderScratch);
const senderLength = arena(4);
const senderLengthAt = addressOf(senderLength);

/** Accepts one connection, without asking who it is. @returns its descriptor, or an errno, negative */
export function acceptStream(listener: number): number {
  const accepted = c.accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return accepted >= 0 ? accepted : -lastErrno();
}

/** Accepts one connection; {@link acceptedFrom} then tells who it is. @returns as {@link acceptStream} */
export function acceptStreamFrom(listener: number): number {
  senderLength.writeUInt32LE(senderScratch.length);
  const accepted = c.accept4(listener, senderAt, senderLengthAt, SOCK_NONBLOCK | SOCK_CLOEXEC);
  return accepted >= 0 ? accepted : -lastErrno();
}

/** The client of the connection that {@link acceptStreamFrom} accepted last. */
export function acceptedFrom(): SocketAddress {
  return decodeAddress(senderScratch, 0);
}
