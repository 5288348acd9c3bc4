import { bind, lastErrno, LinuxError } from "./ffi.js";
import { EAGAIN, ECONNREFUSED, MSG_DONTWAIT, MSG_NOSIGNAL } from "./constants.js";

const c = { sendto: bind("long sendto(int, void *, size_t, int, void *, int)") };

/**
 * Sends one datagram to a raw socket address.
 * @returns false when the socket's buffer is full or the receiver is gone: the datagram is lost, as UDP may
 */
export function sendDatagram(fd: number, bytes: Buffer, address: Buffer): boolean {
  if (c.sendto(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length) >= 0) return true;
  const errno = lastErrno();
  if (errno === EAGAIN || errno === ECONNREFUSED) return false;
  throw new LinuxError(errno, "sendto", "");
}
