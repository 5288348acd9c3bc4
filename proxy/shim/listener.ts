// The socket a port is published on: dockerd's, or one of our own. Each ends the process when it cannot be had.
import { LinuxError } from "../../linux/ffi.js";
import { openListener, prepareForDatagrams } from "../../linux/listener.js";
import { atOnce } from "../../linux/pieces.js";
import { holdersOfPorts, holderText } from "../../linux/port-holder.js";
import { socketKind } from "../../linux/socket-kind.js";
import { familyOf, formatAddress, type SocketAddress } from "../../common/address.js";
import type { Protocol } from "../publication/publication.js";
import { goErrorText } from "./flags.js";
import { fail } from "./verdict.js";

export const listenDescriptor = 4;

/** Checks and prepares the socket that dockerd has bound. @returns its descriptor */
export function adoptListener(protocol: Protocol, ip: string): number {
  const family = familyOf(ip);
  const wanted = `descriptor 4 is not a ${protocol === "tcp" ? "listening TCP" : "UDP"} socket of ${family === "ipv6" ? "IPv6" : "IPv4"}`;
  try {
    const kind = socketKind(listenDescriptor);
    const fits = kind.family === family && (protocol === "tcp" ? kind.listening : kind.type === "datagram");
    if (!fits) fail(wanted);
    if (protocol === "udp") prepareForDatagrams(listenDescriptor);
    return listenDescriptor;
  } catch (error) {
    if (error instanceof LinuxError) fail(wanted);
    throw error;
  }
}

/**
 * Binds and listens as docker-proxy does.
 * @param owner asked whose a port is that is taken: how the sentence about it ends
 */
export function bindListener(protocol: Protocol, host: SocketAddress, owner: () => string): number {
  try {
    return openListener(protocol, host);
  } catch (error) {
    if (!(error instanceof LinuxError)) throw error;
    const version = familyOf(host.ip) === "ipv6" ? 6 : 4;
    const text = `listen ${protocol}${version} ${formatAddress(host)}`;
    const holder = error.code === "EADDRINUSE" ? holderOf(protocol, host) + owner() : "";
    fail(`${text}: ${error.syscall}: ${goErrorText(error.code)}${holder}`);
  }
}

function holderOf(protocol: Protocol, address: SocketAddress): string {
  return holderText(atOnce(holdersOfPorts([{ protocol, address }]))[0]);
}
