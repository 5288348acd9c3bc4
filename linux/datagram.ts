import { bind, lastErrno, LinuxError } from "./ffi.js";
import { EBADF, EFAULT, ENOTSOCK, MSG_DONTWAIT, MSG_NOSIGNAL } from "./constants.js";

const c = { sendto: bind("long sendto(int, void *, size_t, int, void *, int)") };

/**
 * Sends one datagram to a raw socket address.
 * @returns false when the network or its firewall would not take it: the datagram is lost,
 * as UDP may. Throws only when the call itself was wrong.
 */
export function sendDatagram(fd: number, bytes: Buffer, address: Buffer): boolean {
  if (c.sendto(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length) >= 0) return true;
  const errno = lastErrno();
  if (errno === EBADF || errno === ENOTSOCK || errno === EFAULT) throw new LinuxError(errno, "sendto", "");
  return false;
}
