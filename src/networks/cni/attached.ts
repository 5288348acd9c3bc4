import { familyOf } from "../../../common/address.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../records.js";
import { endpointAddresses, type EndpointAddress } from "../endpoint-addresses.js";
import { resolverOf, type Resolver } from "../sandbox-files.js";
import { macOfEndpoint, mtuOf } from "../wanted.js";

/** An attachment as it is, for whoever asked for it. */
export interface Attached {
  /** Undefined where the link has no end on the host. */
  readonly hostLink: string | undefined;
  readonly ifname: string;
  readonly mac: string;
  /** Bytes; 0 where only its driver knows. */
  readonly mtu: number;
  readonly addresses: readonly EndpointAddress[];
  /** What its resolv.conf is to say. */
  readonly dns: Resolver;
}

export function attachedOf(sandbox: SandboxRecord, endpoint: EndpointRecord, network: NetworkRecord): Attached {
  const { hostLink, ifname } = endpoint;
  const isPlugged = !network.lan && !network.pair && !network.remote;
  return {
    hostLink: isPlugged ? hostLink : undefined,
    ifname,
    mac: macOfEndpoint(endpoint),
    mtu: mtuOf(endpoint, network),
    addresses: endpointAddresses(endpoint, network),
    dns: resolverOf(sandbox),
  };
}

/** Where a default route leads from. */
export function everywhereOf(ip: string): string {
  return familyOf(ip) === "ipv4" ? "0.0.0.0/0" : "::/0";
}
