import type { Poller } from "../src/linux/poller.js";
import { closeDescriptor, tcpSocket, udpSocket } from "../src/linux/socket.js";
import { UdpPool } from "./udp-pool.js";

const hostSocketsAtMost = 512;

export type Family = "ipv4" | "ipv6";

export function familyOf(ip: string): Family {
  return ip.includes(":") ? "ipv6" : "ipv4";
}

/** UDP and TCP sockets of one namespace and address family from which questions are forwarded. */
export interface ForwardingSockets {
  readonly udp: UdpPool;
  takeTcp(ready: (fd: number | undefined) => void): void;
  giveBackTcp(fd: number): void;
  close(): void;
}

/** The host's own namespace: sockets are made when they are needed; TCP sockets are closed after use. */
export function hostSockets(poller: Poller, family: Family): ForwardingSockets {
  return {
    udp: new UdpPool(poller, { more: () => orNone(() => udpSocket(family)) }, hostSocketsAtMost),
    takeTcp: (ready) => ready(orNone(() => tcpSocket(family))),
    giveBackTcp: closeDescriptor,
    close: () => undefined,
  };
}

/** Out of descriptors or memory: the question has to share a socket, or fails; nobody else's does. */
function orNone(make: () => number): number | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
