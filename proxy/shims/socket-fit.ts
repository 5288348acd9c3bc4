import { localAddress } from "../../linux/socket.js";
import { socketKind } from "../../linux/socket-kind.js";
import type { ShimRequest } from "./shim-protocol.js";

/** Why a descriptor is not the socket it should be; undefined if it is. */
export function unfit(descriptor: number, { protocol, host }: ShimRequest): string | undefined {
  try {
    const kind = socketKind(descriptor);
    if (kind.type !== (protocol === "tcp" ? "stream" : "datagram")) return `the descriptor is not a ${protocol} socket`;
    if (protocol === "tcp" && !kind.listening) return "the socket does not listen";
    const bound = localAddress(descriptor);
    if (bound.port !== host.port || bound.ip !== host.ip)
      return `the socket is bound to ${bound.ip}:${bound.port}, not to ${host.ip}:${host.port}`;
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
