import { addressOf, arena, bind, lastErrno, LinuxError } from "./ffi.js";
import { CMSGHDR, IOVEC, MSGHDR } from "./layout.js";
import {
  EAGAIN,
  ECONNRESET,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_TRUNC,
  SCM_RIGHTS,
  SOL_SOCKET,
} from "./constants.js";
import { closeDescriptor } from "./socket.js";

const c = {
  sendmsg: bind("long sendmsg(int, void *, int)"),
  recvmsg: bind("long recvmsg(int, void *, int)"),
};

/** Largest message either side sends, bytes. */
export const PACKET_SIZE = 64 * 1024;
/** The kernel's own limit (SCM_MAX_FD). */
const descriptorsAtMost = 253;

const bytes = arena(PACKET_SIZE);
const vector = arena(IOVEC.size);
const control = arena(CMSGHDR.size + descriptorsAtMost * 4 + 8);
const header = arena(MSGHDR.size);
vector.writeBigUInt64LE(BigInt(addressOf(bytes)), IOVEC.base);
header.writeBigUInt64LE(BigInt(addressOf(vector)), MSGHDR.iov);
header.writeBigUInt64LE(1n, MSGHDR.iovLength);
header.writeBigUInt64LE(BigInt(addressOf(control)), MSGHDR.control);

export interface Packet {
  /** A copy, the receiver's own. */
  readonly bytes: Buffer;
  /** Descriptors that came along, close-on-exec; the receiver owns them. */
  readonly descriptors: number[];
}

/**
 * Sends one message with descriptors over a SOCK_SEQPACKET socket, without waiting.
 * @returns false when the other side does not read fast enough; nothing was sent then
 */
export function sendPacket(fd: number, message: Buffer, descriptors: readonly number[] = []): boolean {
  if (message.length > PACKET_SIZE || message.length === 0)
    throw new RangeError(`a message of ${message.length} bytes cannot be sent`);
  if (descriptors.length > descriptorsAtMost) throw new RangeError(`${descriptors.length} descriptors in one message`);
  message.copy(bytes);
  vector.writeBigUInt64LE(BigInt(message.length), IOVEC.length);
  header.writeBigUInt64LE(BigInt(descriptors.length === 0 ? 0 : writeRights(descriptors)), MSGHDR.controlLength);
  header.writeInt32LE(0, MSGHDR.flags);
  if (c.sendmsg(fd, header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return true;
  const errno = lastErrno();
  if (errno === EAGAIN) return false;
  throw new LinuxError(errno, "sendmsg", "");
}

/**
 * Receives one message without waiting.
 * @param allowLostDescriptors whether one whose descriptors were lost on the way is given without any, instead of throwing
 * @returns `undefined` when none waits, `"closed"` at the end
 */
export function receivePacket(fd: number, allowLostDescriptors = false): Packet | "closed" | undefined {
  vector.writeBigUInt64LE(BigInt(PACKET_SIZE), IOVEC.length);
  header.writeBigUInt64LE(BigInt(control.length), MSGHDR.controlLength);
  header.writeInt32LE(0, MSGHDR.flags);
  const length = c.recvmsg(fd, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0) {
    const errno = lastErrno();
    if (errno === EAGAIN) return undefined;
    // The other side has ended without having read all of ours. It is said once; what came before is still to be received.
    if (errno === ECONNRESET) return receivePacket(fd, allowLostDescriptors);
    throw new LinuxError(errno, "recvmsg", "");
  }
  const descriptors = readRights(Number(header.readBigUInt64LE(MSGHDR.controlLength)));
  if (length === 0 && descriptors.length === 0) return "closed";
  const flags = header.readInt32LE(MSGHDR.flags);
  if (flags & (MSG_CTRUNC | MSG_TRUNC)) descriptors.splice(0).forEach(closeDescriptor);
  if (flags & MSG_TRUNC || (flags & MSG_CTRUNC && !allowLostDescriptors))
    throw new Error("a message between the daemon and a server came truncated: is the descriptor limit reached?");
  return { bytes: Buffer.from(bytes.subarray(0, length)), descriptors };
}

function writeRights(descriptors: readonly number[]): number {
  const length = CMSGHDR.size + descriptors.length * 4;
  control.writeBigUInt64LE(BigInt(length), CMSGHDR.length);
  control.writeInt32LE(SOL_SOCKET, CMSGHDR.level);
  control.writeInt32LE(SCM_RIGHTS, CMSGHDR.type);
  descriptors.forEach((descriptor, index) => control.writeInt32LE(descriptor, CMSGHDR.size + index * 4));
  return (length + 7) & ~7;
}

function readRights(controlLength: number): number[] {
  if (controlLength < CMSGHDR.size) return [];
  const length = Number(control.readBigUInt64LE(CMSGHDR.length));
  const isRights =
    control.readInt32LE(CMSGHDR.level) === SOL_SOCKET && control.readInt32LE(CMSGHDR.type) === SCM_RIGHTS;
  if (!isRights) return [];
  const count = (length - CMSGHDR.size) >> 2;
  return Array.from({ length: count }, (_, index) => control.readInt32LE(CMSGHDR.size + index * 4));
}
