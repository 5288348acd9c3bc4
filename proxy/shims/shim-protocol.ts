import { decodeIPv6, encodeIPv6, familyOf, isAddress, type SocketAddress } from "../../common/address.js";
import type { Protocol } from "../publication/publication.js";

/** Version of what shims and pontoon-proxy say to each other. `tools/build-shim.mjs` reads it here for the shim in C. */
export const PROTOCOL = 1;

/** Bytes of the longest message: a shim never sends a longer one. */
const messageAtMost = 256;

/** What a shim was started for. */
export interface ShimRequest {
  readonly protocol: Protocol;
  readonly host: SocketAddress;
  readonly container: SocketAddress;
  /** Inode of the network namespace the shim lives in. */
  readonly namespace: number;
  /** Whether the socket is dockerd's own (descriptor 4) rather than bound by the shim. */
  readonly inherited: boolean;
}

/** A message of a shim. */
export type ShimMessage =
  /** May this be served? Asked before the port is bound, so that a kept listener can be given back. */
  | { readonly kind: "ask"; readonly request: ShimRequest }
  /** Who has this port? Asked when it could not be bound; answered with `held` and a sentence, or `nobody`. Earlier versions decline. */
  | { readonly kind: "who"; readonly request: ShimRequest }
  /** Comes with the listener. */
  | { readonly kind: "serve"; readonly request: ShimRequest }
  /** The publication ends. */
  | { readonly kind: "bye" }
  /**
   * The shim ends with its dockerd; the container goes on. Comes with the listener, which is kept for the shim of the next
   * dockerd, unless it is dockerd's own.
   */
  | { readonly kind: "bye-keep" }
  /** Cannot be read; `reason` is for the shim's answer and the log. */
  | { readonly kind: "nonsense"; readonly reason: string };

/**
 * Reads a message, e.g. `1 ask tcp 0.0.0.0 80 172.17.0.2 80 4026531840 0`: version, kind, protocol, host address and port,
 * container address and port, inode of the network namespace, 1 if the socket was inherited. Never throws.
 */
export function readShimMessage(bytes: Buffer): ShimMessage {
  if (bytes.length > messageAtMost) return nonsense("the message is too long");
  const text = bytes.toString("latin1");
  if (text === "bye") return { kind: "bye" };
  if (text === "bye keep") return { kind: "bye-keep" };
  const [version, kind, ...rest] = text.split(" ");
  if (version !== String(PROTOCOL))
    return nonsense(
      `this pontoon-proxy speaks protocol version ${PROTOCOL}, the shim another one: restart the container after an upgrade`,
    );
  if (kind !== "ask" && kind !== "who" && kind !== "serve") return nonsense("the message is of an unknown kind");
  const request = readRequest(rest);
  return request ? { kind, request: request } : nonsense("the arguments make no sense");
}

/** A request as {@link readShimMessage} reads it. */
export function shimMessage(kind: "ask" | "who" | "serve", request: ShimRequest): string {
  const { protocol, host, container, namespace, inherited } = request;
  const addresses = `${host.ip} ${host.port} ${container.ip} ${container.port}`;
  return `${PROTOCOL} ${kind} ${protocol} ${addresses} ${namespace} ${inherited ? 1 : 0}`;
}

/** Two shims have this in common if one takes over from the other. */
export function requestKey({ protocol, host, container }: ShimRequest): string {
  return `${protocol} ${host.ip} ${host.port} ${container.ip} ${container.port}`;
}

function readRequest(fields: string[]): ShimRequest | undefined {
  const [protocol, hostIp, hostPort, containerIp, containerPort, namespace, inherited] = fields;
  if (fields.length !== 7 || (protocol !== "tcp" && protocol !== "udp") || (inherited !== "0" && inherited !== "1"))
    return undefined;
  const host = readEndpoint(hostIp!, hostPort!);
  const container = readEndpoint(containerIp!, containerPort!);
  if (!host || !container || !/^\d{1,15}$/.test(namespace!)) return undefined;
  return { protocol, host, container, namespace: Number(namespace), inherited: inherited === "1" };
}

function readEndpoint(ip: string, port: string): SocketAddress | undefined {
  if (!isAddress(ip) || !/^\d{1,5}$/.test(port) || Number(port) > 65535) return undefined;
  // One text for one address: it is compared with what the kernel says, and with other shims' arguments.
  return { ip: familyOf(ip) === "ipv4" ? ip : decodeIPv6(encodeIPv6(ip), 0), port: Number(port) };
}

function nonsense(reason: string): ShimMessage {
  return { kind: "nonsense", reason };
}
