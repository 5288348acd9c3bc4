import type { Family } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import { addressPool, defaultPools, uniqueLocalPool, type AddressPool } from "../../network/addresses/pools.js";
import { createNetworkRequest, type CreateNetworkRequest, type CreateSandboxRequest } from "./contract.js";
import { defaultNetwork } from "./fixed-networks.js";

/** What the configuration says of networks and sandboxes: what counts where nobody asks for something else. */
export interface NetworkDefaults {
  /** An existing bridge for the network `default`, `none` for no such network; undefined for a bridge of its own. */
  readonly bridge: string | undefined;
  /** Of the network `default`. Undefined: chosen, and the whole subnet. */
  readonly subnet: string | undefined;
  readonly gateway: string | undefined;
  readonly ipRange: string | undefined;
  readonly icc: boolean;
  readonly masquerade: boolean;
  /** Undefined: the uplink's. */
  readonly mtu: number | undefined;
  readonly pools: Readonly<Record<Family, readonly AddressPool[]>>;
  /** Whether any network has rules in the host's firewall. */
  readonly firewall: boolean;
  /** The zone of firewalld's that bridges are put into; undefined: none. */
  readonly firewalldZone: string | undefined;
  /** Whether the host may be made to forward. */
  readonly forwarding: boolean;
  /** Of sandboxes. */
  readonly dns: {
    readonly servers: readonly string[];
    readonly search: readonly string[];
    readonly options: readonly string[];
  };
}

/** What the network `default` is made of. Throws NETWORK_OFF when there is to be none. */
export function defaultNetworkRequest(defaults: NetworkDefaults): CreateNetworkRequest {
  const { bridge = defaultNetwork.bridge, subnet, gateway, ipRange, icc, masquerade } = defaults;
  if (bridge === "none")
    throw new PontoonError(
      "NETWORK_OFF",
      defaultNetwork.name,
      "there is no network default, since network.bridge is none in the configuration; name another network",
    );
  return createNetworkRequest.parse({
    name: defaultNetwork.name,
    bridge,
    subnets: listOf(subnet),
    gateways: listOf(gateway),
    ipRanges: listOf(ipRange),
    icc,
    masquerade,
  });
}

/** Where subnets are chosen from. IPv6's own pool is another on each host. @param seed as {@link uniqueLocalPool} has it */
export function poolsOf(
  { pools: { ipv4, ipv6 } }: Pick<NetworkDefaults, "pools">,
  seed: string,
): NetworkDefaults["pools"] {
  return { ipv4, ipv6: ipv6.length > 0 ? ipv6 : [uniqueLocalPool(seed)] };
}

/** Other hosts' own networks have what {@link defaultPools} gives there, unseen by this one: networks of several hosts come from elsewhere. */
const betweenHosts = [addressPool("10.0.0.0/8", 24)];

/** Where subnets of networks of several hosts come from: as with Docker's own overlay networks, unless the configuration says so. */
export function overlayPools({ pools }: Pick<NetworkDefaults, "pools">, seed: string): NetworkDefaults["pools"] {
  const { ipv4, ipv6 } = poolsOf({ pools }, seed);
  return { ipv4: ipv4 === defaultPools ? betweenHosts : ipv4, ipv6 };
}

/**
 * As {@link overlayPools}, each host in another order: Docker has a subnet chosen before anybody else is asked about it, and hosts
 * that do so at once should not choose the same. @param host its id, hexadecimal
 */
export function overlayPoolsApart(
  defaults: Pick<NetworkDefaults, "pools">,
  seed: string,
  host: string,
): NetworkDefaults["pools"] {
  const { ipv4, ipv6 } = overlayPools(defaults, seed);
  const first = addressPool(`10.${parseInt(host.slice(0, 2), 16)}.0.0/16`, 24);
  return { ipv4: ipv4 === betweenHosts ? [first, ...ipv4] : ipv4, ipv6 };
}

/** A request for a sandbox, with the servers, suffixes and options of the configuration where it names none of its own. */
export function withSandboxDefaults(request: CreateSandboxRequest, { dns }: NetworkDefaults): CreateSandboxRequest {
  const orElse = (own: string[], others: readonly string[]) => (own.length > 0 ? own : [...others]);
  return {
    ...request,
    dns: orElse(request.dns, dns.servers),
    dnsSearch: orElse(request.dnsSearch, dns.search),
    dnsOptions: orElse(request.dnsOptions, dns.options),
  };
}

function listOf(text: string | undefined): string[] {
  return text === undefined ? [] : [text];
}
