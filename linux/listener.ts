import { familyOf, type SocketAddress } from "../common/address.js";
import { IPPROTO_IPV6, IPV6_V6ONLY, SO_BINDTOIFINDEX, SO_REUSEADDR, SOL_SOCKET } from "./constants.js";
import {
  bindSocket,
  closeDescriptor,
  forceReceiveBuffer,
  getOption,
  listenSocket,
  setOption,
  tellDestinations,
  tcpSocket,
  udpSocket,
} from "./socket.js";

/** Bytes of datagrams that may wait at a port; also in proxy/shim/listener.c. */
export const udpBuffer = 8 << 20;

/** Number of an interface that does not exist. */
const nowhere = 0x7fff_ffff;

/**
 * A socket for a published port, as docker-proxy opens it: IPv6 only for an IPv6 address; TCP listens with the longest
 * queue the system allows, UDP tells the address each datagram was sent to. Throws a LinuxError.
 */
export function openListener(protocol: "tcp" | "udp", address: SocketAddress): number {
  const family = familyOf(address.ip);
  const fd = protocol === "tcp" ? tcpSocket(family) : udpSocket(family);
  try {
    if (family === "ipv6") setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
    if (protocol === "tcp") setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    else prepareForDatagrams(fd);
    bindSocket(fd, address);
    if (protocol === "tcp") listenSocket(fd, 65535);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** Has a UDP socket tell the address each datagram was sent to, and hold a burst of them. */
export function prepareForDatagrams(fd: number): void {
  forceReceiveBuffer(fd, udpBuffer);
  tellDestinations(fd);
}

/**
 * Has the kernel refuse a UDP socket's clients with an ICMP message, as if nobody had the port, while nobody else can get
 * it, whatever the address: the socket hears only an interface that does not exist. Needs no privilege.
 */
export function rejectClients(fd: number): void {
  if (getOption(fd, SOL_SOCKET, SO_BINDTOIFINDEX, "SO_BINDTOIFINDEX") === 0)
    setOption(fd, SOL_SOCKET, SO_BINDTOIFINDEX, nowhere, "SO_BINDTOIFINDEX");
}

/** Undoes {@link rejectClients}. Needs CAP_NET_RAW, unless clients are accepted already. */
export function acceptClients(fd: number): void {
  if (getOption(fd, SOL_SOCKET, SO_BINDTOIFINDEX, "SO_BINDTOIFINDEX") === nowhere)
    setOption(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0, "SO_BINDTOIFINDEX");
}
