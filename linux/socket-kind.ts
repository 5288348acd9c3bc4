import type { Family } from "../common/address.js";
import { arena, bind, check } from "./ffi.js";
import {
  AF_INET,
  AF_INET6,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_ACCEPTCONN,
  SO_DOMAIN,
  SO_TYPE,
} from "./constants.js";

const getsockopt = bind("int getsockopt(int, int, int, void *, void *)");

/** What a socket that came from another process is. */
export interface SocketKind {
  readonly family: Family | "other";
  readonly type: "stream" | "datagram" | "other";
  /** Whether connections can be accepted on it. */
  readonly listening: boolean;
}

/** Asks the kernel what a descriptor is. Throws a LinuxError (`ENOTSOCK`) when it is not a socket. */
export function socketKind(fd: number): SocketKind {
  const domain = option(fd, SO_DOMAIN, "SO_DOMAIN");
  const type = option(fd, SO_TYPE, "SO_TYPE");
  return {
    family: domain === AF_INET ? "ipv4" : domain === AF_INET6 ? "ipv6" : "other",
    type: type === SOCK_STREAM ? "stream" : type === SOCK_DGRAM ? "datagram" : "other",
    listening: option(fd, SO_ACCEPTCONN, "SO_ACCEPTCONN") === 1,
  };
}

const value = arena(4);
const length = arena(4);

function option(fd: number, name: number, text: string): number {
  length.writeUInt32LE(4);
  check(getsockopt(fd, SOL_SOCKET, name, value, length), "getsockopt", text);
  return value.readInt32LE(0);
}
