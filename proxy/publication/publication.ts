import { isIP } from "node:net";
import type { SocketAddress } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import { Networks } from "./networks.js";

export type Protocol = "tcp" | "udp";

/** Version of the PROXY protocol the container is told its clients' addresses with. */
export type ProxyProtocol = "none" | "v1" | "v2";

/** What may be chosen for a publication. Times in ms; what is left out has the value of {@link defaults}. */
export interface PublicationOptions {
  /** Until a container that does not answer counts as one that refused. */
  readonly connectTimeoutMs?: number;
  /** Until a connection that is closed in one direction and silent in the other is ended. */
  readonly halfClosedIdleMs?: number;
  /** Connections at a time; more wait in the kernel's queue. 0: as many as a publication's share of the descriptors allows. */
  readonly maxConnections?: number;
  /** TCP only. */
  readonly proxyProtocol?: ProxyProtocol;
  /** Networks (`10.0.0.0/8`, `fd00::/8`, single addresses) whose connections begin with a PROXY protocol header. TCP only. */
  readonly acceptProxyProtocolFrom?: readonly string[];
  /** Until a connection from one of those networks is ended that has brought no whole header. */
  readonly proxyHeaderMs?: number;
  /** Networks whose clients are served; empty: all. */
  readonly allowFrom?: readonly string[];
  /** Until a UDP flow without a datagram in either direction is forgotten. */
  readonly udpIdleMs?: number;
  /** UDP flows at a time; beyond that the one that was idle longest goes. */
  readonly udpFlows?: number;
  /** How long connections may go on after the publication was closed. */
  readonly drainMs?: number;
}

/** To whom a publication belongs: kept for the daemon that opened it, and given back to the next one. */
export interface PublicationOwner {
  readonly container: string;
  readonly containerPort: number;
  readonly source: "command" | "label";
  readonly byDefault?: boolean | undefined;
}

export interface Publication {
  /** Unique among those that are open. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly listen: SocketAddress;
  /** Without one clients are refused. */
  readonly target?: SocketAddress | undefined;
  readonly options: PublicationOptions;
  /** Not used here: given back as it is. */
  readonly owner?: PublicationOwner | undefined;
}

/** Times in ms. */
export const defaults: Required<PublicationOptions> = {
  // Longer than the kernel tries (net.ipv4.tcp_syn_retries: 127 s), as with Docker: a container whose queue is full may yet take it.
  connectTimeoutMs: 130_000,
  // Long: a client that is really gone is found by keepalive within two minutes.
  halfClosedIdleMs: 3_600_000,
  maxConnections: 0,
  proxyProtocol: "none",
  acceptProxyProtocolFrom: [],
  proxyHeaderMs: 5_000,
  allowFrom: [],
  // What a port that Docker's NAT serves has (net.netfilter.nf_conntrack_udp_timeout_stream); docker-proxy has 90 s.
  udpIdleMs: 120_000,
  udpFlows: 4096,
  drainMs: 10_000,
};

/** Throws PUBLICATION_INVALID with what is wrong. @returns the options, complete */
export function checkPublication({ id, protocol, listen, target, options }: Publication): Required<PublicationOptions> {
  const wrong = (what: string) => new PontoonError("PUBLICATION_INVALID", id, `publication ${id}: ${what}`);
  for (const { ip, port } of target ? [listen, target] : [listen]) {
    if (isIP(ip) === 0) throw wrong(`${ip} is not an address`);
    if (!Number.isInteger(port) || port < 0 || port > 65535) throw wrong(`${port} is not a port`);
  }
  if (target?.port === 0) throw wrong("the container's port is missing");
  const complete = { ...defaults, ...options };
  for (const name of ["connectTimeoutMs", "halfClosedIdleMs", "proxyHeaderMs", "udpIdleMs", "udpFlows"] as const)
    if (!(complete[name] > 0)) throw wrong(`${name} must be more than 0, not ${complete[name]}`);
  for (const name of ["maxConnections", "drainMs"] as const)
    if (!(complete[name] >= 0)) throw wrong(`${name} must not be less than 0: ${complete[name]}`);
  if (protocol === "udp" && (complete.proxyProtocol !== "none" || complete.acceptProxyProtocolFrom.length > 0))
    throw wrong("the PROXY protocol is for TCP only");
  for (const name of ["allowFrom", "acceptProxyProtocolFrom"] as const) {
    try {
      new Networks(complete[name]);
    } catch (error) {
      throw wrong(`${name}: ${(error as Error).message}`);
    }
  }
  return complete;
}
