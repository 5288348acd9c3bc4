import { AF_UNIX, EADDRINUSE, SOCK_CLOEXEC, SOCK_DGRAM } from "./constants.js";
import { arena, bind, check, lastErrno, LinuxError } from "./ffi.js";
import { closeDescriptor } from "./socket.js";

const c = { socket: bind("int socket(int, int, int)"), bind: bind("int bind(int, void *, unsigned int)") };

/**
 * Holds a name that one process of the calling thread's network namespace can hold at a time: that of an abstract unix socket
 * (unix(7)), which the kernel forgets when the process ends. Throws a LinuxError.
 * @returns the descriptor that holds it, the caller's to close; undefined while another process has the name
 */
export function lockNamespace(name: string): number | undefined {
  const address = arena(2 + 1 + Buffer.byteLength(name)); // struct sockaddr_un: an abstract name begins with a zero byte
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(name, 3);
  const fd = check(c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket", name);
  if (c.bind(fd, address, address.length) === 0) return fd;
  const errno = lastErrno();
  closeDescriptor(fd);
  if (errno === EADDRINUSE) return undefined;
  throw new LinuxError(errno, "bind", name);
}
