// A published port as pontoon-proxy is told of it, and as it tells of it to the next daemon.
import type { Publication } from "../../proxy/publication/publication.js";
import { udpBuffer } from "../../linux/listener.js";
import { closeDescriptor, forceReceiveBuffer, localAddress } from "../../linux/socket.js";
import { socketKind } from "../../linux/socket-kind.js";
import { idOf, type Entry } from "./entry.js";
import type { PublishedPort } from "./published-port.js";
import { publishedPortOf } from "./port-schema.js";

/** A publication that pontoon-proxy serves for an earlier daemon. */
export interface Inherited {
  readonly publication: Publication;
  /** Its socket; the receiver's from now on. */
  readonly descriptor: number;
}

/** @param drainMs for ports that say nothing else */
export function publicationOf({ port, target }: Entry, drainMs: number): Publication {
  const { transport, ip, hostPort, options, container, containerPort, source, byDefault, endpoint } = port;
  const owner = { container, containerPort, source, ...(byDefault && { byDefault }), ...(endpoint && { endpoint }) };
  return {
    id: idOf(port),
    protocol: transport,
    listen: { ip, port: hostPort },
    options: { drainMs, ...options },
    owner,
    ...(target && { target }),
  };
}

/** The port a publication serves; undefined for what could not be remembered. @param drainMs of ports that say nothing else */
export function portOf(
  { protocol, listen, options: { drainMs: ownDrainMs, ...options }, owner }: Publication,
  drainMs: number,
): PublishedPort | undefined {
  if (!owner) return undefined;
  const { container, containerPort, source, byDefault, endpoint } = owner;
  return publishedPortOf({
    container,
    transport: protocol,
    ip: listen.ip,
    hostPort: listen.port,
    containerPort,
    source,
    ...(byDefault === true && { byDefault }),
    ...(endpoint && { endpoint }),
    options: { ...options, ...(ownDrainMs !== undefined && ownDrainMs !== drainMs && { drainMs: ownDrainMs }) },
  });
}

/** By publication; what is not the socket it should be is closed: a server that was broken into could pass on anything. */
export function trueSockets(inherited: readonly Inherited[]): Map<string, Inherited> {
  const sockets = new Map<string, Inherited>();
  for (const each of inherited) {
    if (isSocketOf(each)) sockets.set(each.publication.id, withBuffer(each));
    else closeDescriptor(each.descriptor);
  }
  return sockets;
}

/** An earlier version may have opened it. */
function withBuffer(inherited: Inherited): Inherited {
  if (inherited.publication.protocol === "udp") forceReceiveBuffer(inherited.descriptor, udpBuffer);
  return inherited;
}

function isSocketOf({ publication: { protocol, listen }, descriptor }: Inherited): boolean {
  try {
    const { ip, port } = localAddress(descriptor);
    return (
      ip === listen.ip &&
      port === listen.port &&
      socketKind(descriptor).type === (protocol === "tcp" ? "stream" : "datagram")
    );
  } catch {
    return false;
  }
}
