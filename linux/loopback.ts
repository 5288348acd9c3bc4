import { AF_INET, SOCK_CLOEXEC, SOCK_DGRAM } from "./constants.js";
import { arena, bind, check } from "./ffi.js";
import { closeDescriptor } from "./socket.js";

const c = {
  socket: bind("int socket(int, int, int)"),
  ioctl: bind("int ioctl(int, unsigned long, void *)"),
};

/** `struct ifreq`: a name of up to 16 bytes, then a union (netdevice(7)). */
const IFREQ = { size: 40, flags: 16 } as const;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;

/**
 * Raises the loopback interface of the calling thread's network namespace: without it nothing can be bound to 127.0.0.0/8. Does
 * nothing to one that is up. Throws a LinuxError.
 */
export function raiseLoopback(): void {
  const request = arena(IFREQ.size);
  request.write("lo\0", 0);
  const fd = check(c.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket", "ipv4");
  try {
    check(c.ioctl(fd, SIOCGIFFLAGS, request), "ioctl", "SIOCGIFFLAGS lo");
    const flags = request.readInt16LE(IFREQ.flags);
    if ((flags & IFF_UP) !== 0) return;
    request.writeInt16LE(flags | IFF_UP, IFREQ.flags);
    check(c.ioctl(fd, SIOCSIFFLAGS, request), "ioctl", "SIOCSIFFLAGS lo");
  } finally {
    closeDescriptor(fd);
  }
}
