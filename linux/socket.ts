import type { Family, SocketAddress } from "../common/address.js";
import { bind as bindC, bindAside, check, LinuxError, lastErrno } from "./ffi.js";
import { decodeAddress, encodeAddress, encodeUnixAddress } from "./address.js";
import {
  AF_UNSPEC,
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EAGAIN,
  EBADF,
  EINPROGRESS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IP_PKTINFO,
  IP_TTL,
  IPV6_RECVPKTINFO,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_DOMAIN,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_MARK,
  SO_PEERCRED,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  TCP_CONGESTION,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
} from "./constants.js";

const closeAside = bindAside("int close(int)");
const c = {
  socket: bindC("int socket(int, int, int)"),
  bind: bindC("int bind(int, void *, int)"),
  listen: bindC("int listen(int, int)"),
  connect: bindC("int connect(int, void *, int)"),
  accept4: bindC("int accept4(int, void *, void *, int)"),
  getsockname: bindC("int getsockname(int, void *, void *)"),
  setsockopt: bindC("int setsockopt(int, int, int, void *, int)"),
  getsockopt: bindC("int getsockopt(int, int, int, void *, void *)"),
  send: bindC("long send(int, void *, size_t, int)"),
  recv: bindC("long recv(int, void *, size_t, int)"),
  close: bindC("int close(int)"),
  socketpair: bindC("int socketpair(int, int, int, void *)"),
  getpeername: bindC("int getpeername(int, void *, void *)"),
};

/** What a non-blocking transfer came to: bytes moved, or why none were. */
export const WOULD_BLOCK = -1;

/** All sockets made here are non-blocking and close-on-exec. */
export function udpSocket(family: Family = "ipv4"): number {
  return check(c.socket(domain(family), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", "udp");
}

export function tcpSocket(family: Family = "ipv4"): number {
  return check(c.socket(domain(family), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", "tcp");
}

/** A TCP socket to connect with. Neither it nor its TIME-WAIT keeps its port from others who bind it with SO_REUSEADDR set. */
export function outgoingSocket(family: Family = "ipv4"): number {
  const fd = tcpSocket(family);
  setReuse(fd, true);
  return fd;
}

/** A unix socket that keeps message boundaries. */
export function packetSocket(): number {
  return check(c.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", "unix");
}

/** A unix datagram socket, which Node does not have. */
export function datagramSocket(): number {
  return check(c.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", "unix");
}

/** Two connected unix sockets that keep message boundaries, one for each of two processes. */
export function packetPair(): [one: number, other: number] {
  check(c.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, addressScratch), "socketpair");
  return [addressScratch.readInt32LE(0), addressScratch.readInt32LE(4)];
}

/** A unix socket that is a stream of bytes. */
export function streamSocket(): number {
  return check(c.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket", "unix");
}

export function bindSocket(fd: number, address: SocketAddress): void {
  const raw = encodeAddress(address);
  check(c.bind(fd, raw, raw.length), "bind", `${address.ip}:${address.port}`);
}

export function bindUnix(fd: number, path: string): void {
  const raw = encodeUnixAddress(path);
  check(c.bind(fd, raw, raw.length), "bind", path);
}

export function listenSocket(fd: number, backlog: number): void {
  check(c.listen(fd, backlog), "listen");
}

/** Starts a connection. @returns false while a TCP connection is still being made. */
export function connectSocket(fd: number, address: SocketAddress): boolean {
  const raw = encodeAddress(address);
  if (c.connect(fd, raw, raw.length) === 0) return true;
  const errno = lastErrno();
  if (errno === EINPROGRESS) return false;
  throw new LinuxError(errno, "connect", `${address.ip}:${address.port}`);
}

/** Connects to a unix socket; a full backlog is an error (`EAGAIN`), never a wait. */
export function connectUnix(fd: number, path: string): void {
  const raw = encodeUnixAddress(path);
  check(c.connect(fd, raw, raw.length), "connect", path);
}

const unspecified = Buffer.alloc(16); // AF_UNSPEC is 0
/**
 * Ends a socket's association with its peer. A UDP socket gets a new source port with its next connect;
 * a TCP socket is reset and can connect again (connect(2), AF_UNSPEC).
 */
export function disconnectSocket(fd: number): void {
  unspecified.writeUInt16LE(AF_UNSPEC, 0);
  check(c.connect(fd, unspecified, unspecified.length), "connect", "AF_UNSPEC");
}

/** Accepts one connection. @returns its descriptor, or {@link WOULD_BLOCK} when none waits. Throws on EMFILE and the like. */
export function acceptSocket(fd: number): number {
  const accepted = c.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted >= 0) return accepted;
  const errno = lastErrno();
  if (errno === EAGAIN) return WOULD_BLOCK;
  throw new LinuxError(errno, "accept4", "");
}

const addressScratch = Buffer.from(new ArrayBuffer(128));
const lengthScratch = Buffer.from(new ArrayBuffer(4));

/** The address a socket is bound to. */
export function localAddress(fd: number): SocketAddress {
  lengthScratch.writeUInt32LE(addressScratch.length);
  check(c.getsockname(fd, addressScratch, lengthScratch), "getsockname");
  return decodeAddress(addressScratch, 0);
}

/** Whom a socket is connected with. */
export function peerAddress(fd: number): SocketAddress {
  lengthScratch.writeUInt32LE(addressScratch.length);
  check(c.getpeername(fd, addressScratch, lengthScratch), "getpeername");
  return decodeAddress(addressScratch, 0);
}

const optionScratch = Buffer.from(new ArrayBuffer(16));

export function setOption(fd: number, level: number, option: number, value: number, name: string): void {
  optionScratch.writeInt32LE(value, 0);
  check(c.setsockopt(fd, level, option, optionScratch, 4), "setsockopt", name);
}

export function getOption(fd: number, level: number, option: number, name: string): number {
  lengthScratch.writeUInt32LE(4);
  check(c.getsockopt(fd, level, option, optionScratch, lengthScratch), "getsockopt", name);
  return optionScratch.readInt32LE(0);
}

/** When an idle TCP connection is probed, and when it counts as dead. Seconds. */
export interface Keepalive {
  readonly idle: number;
  readonly interval: number;
  readonly probes: number;
}

/** On a listening socket it is inherited by the connections. */
export function setKeepalive(fd: number, { idle, interval, probes }: Keepalive): void {
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
  setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle, "TCP_KEEPIDLE");
  setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval, "TCP_KEEPINTVL");
  setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, probes, "TCP_KEEPCNT");
}

/** Closes a TCP connection with a reset: what is unsent is lost, and the peer sees an error, not an end. */
export function resetAndClose(fd: number): void {
  setReset(fd, true);
  closeDescriptor(fd);
}

/** Whether closing a TCP connection resets it, also when its process just dies. */
export function setReset(fd: number, resets: boolean): void {
  optionScratch.writeInt32LE(Number(resets), 0);
  optionScratch.writeInt32LE(0, 4);
  check(c.setsockopt(fd, SOL_SOCKET, SO_LINGER, optionScratch, 8), "setsockopt", "SO_LINGER");
}

/** Marks every packet of the socket; needs CAP_NET_ADMIN over its namespace. */
export function setMark(fd: number, mark: number): void {
  setOption(fd, SOL_SOCKET, SO_MARK, mark, "SO_MARK");
}

/** Sets buffer sizes (bytes) beyond the system's limit; needs CAP_NET_ADMIN in the first user namespace. */
export function forceBufferSizes(fd: number, bytes: number): void {
  setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes, "SO_RCVBUFFORCE");
  setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, bytes, "SO_SNDBUFFORCE");
}

/** Bytes the kernel holds that the other end has not taken; it reserves twice as much (socket(7)). */
export function setSendBuffer(fd: number, bytes: number): void {
  setOption(fd, SOL_SOCKET, SO_SNDBUF, bytes, "SO_SNDBUF");
}

/** Sets the receive buffer, bytes, as far as the system lets anybody (net.core.rmem_max); the kernel reserves twice as much. */
export function setReceiveBuffer(fd: number, bytes: number): void {
  setOption(fd, SOL_SOCKET, SO_RCVBUF, bytes, "SO_RCVBUF");
}

/** Sets the receive buffer, bytes, beyond the system's limit if this process may (CAP_NET_ADMIN). */
export function forceReceiveBuffer(fd: number, bytes: number): void {
  try {
    setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes, "SO_RCVBUFFORCE");
  } catch {
    setReceiveBuffer(fd, bytes);
  }
}

/** Whether other sockets that have this set, too, may bind the same port. */
export function setReuse(fd: number, reuses: boolean): void {
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, Number(reuses), "SO_REUSEADDR");
}

/** Whether other sockets of the same user that have this set, too, may bind the same port. */
export function setReuseByOwn(fd: number, reuses: boolean): void {
  setOption(fd, SOL_SOCKET, SO_REUSEPORT, Number(reuses), "SO_REUSEPORT");
}

/** Has a UDP socket tell which address of the host each datagram was sent to. */
export function tellDestinations(fd: number): void {
  if (getOption(fd, SOL_SOCKET, SO_DOMAIN, "SO_DOMAIN") === AF_INET6)
    setOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO");
  else setOption(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO");
}

export function setNoDelay(fd: number): void {
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
}

/** How a TCP socket finds its sending rate, by the kernel's name for it: `cubic`, `bbr`. */
export function congestionControl(fd: number): string {
  lengthScratch.writeUInt32LE(optionScratch.length);
  check(c.getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, optionScratch, lengthScratch), "getsockopt", "TCP_CONGESTION");
  return optionScratch.latin1Slice(0, lengthScratch.readUInt32LE(0)).replace(/\0.*/s, "");
}

export function setCongestionControl(fd: number, name: string): void {
  check(
    c.setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, optionScratch, optionScratch.write(name, "latin1")),
    "setsockopt",
    `TCP_CONGESTION ${name}`,
  );
}

export function setTimeToLive(fd: number, hops: number): void {
  setOption(fd, IPPROTO_IP, IP_TTL, hops, "IP_TTL");
}

/** The pending error of a socket as an errno, 0 for none; reading it clears it. */
export function socketError(fd: number): number {
  lengthScratch.writeUInt32LE(4);
  check(c.getsockopt(fd, SOL_SOCKET, SO_ERROR, optionScratch, lengthScratch), "getsockopt", "SO_ERROR");
  return optionScratch.readInt32LE(0);
}

/** Who is at the other end of a unix socket, as of its connect or listen. */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
  lengthScratch.writeUInt32LE(12);
  check(c.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, optionScratch, lengthScratch), "getsockopt", "SO_PEERCRED");
  return { pid: optionScratch.readInt32LE(0), uid: optionScratch.readUInt32LE(4), gid: optionScratch.readUInt32LE(8) };
}

/** Sends without waiting. @returns bytes sent, or {@link WOULD_BLOCK}. */
export function sendBytes(fd: number, bytes: Buffer): number {
  const sent = c.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return sent;
  const errno = lastErrno();
  if (errno === EAGAIN) return WOULD_BLOCK;
  throw new LinuxError(errno, "send", "");
}

/** Receives without waiting. @returns bytes received (0 at the end of a stream), or {@link WOULD_BLOCK}. */
export function receiveBytes(fd: number, into: Buffer): number {
  const received = c.recv(fd, into, into.length, MSG_DONTWAIT);
  if (received >= 0) return received;
  const errno = lastErrno();
  if (errno === EAGAIN) return WOULD_BLOCK;
  throw new LinuxError(errno, "recv", "");
}

/** Closes a descriptor in another thread: what lies behind it may have the kernel wait. */
export async function closeDescriptorAside(fd: number): Promise<void> {
  if ((await closeAside(fd)) < 0) throw new LinuxError(EBADF, "close", `descriptor ${fd}`);
}

/** Closes a descriptor; an error is reported by the kernel only for descriptors that are not ours, which would be a fault. */
export function closeDescriptor(fd: number): void {
  check(c.close(fd), "close", `descriptor ${fd}`);
}

function domain(family: Family): number {
  return family === "ipv4" ? AF_INET : AF_INET6;
}
