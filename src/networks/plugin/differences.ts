import type { DriverNetwork } from "../../inventory/driver-network.js";
import { AddressAllocator } from "../../../network/addresses/allocator.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import { poolId } from "./address-pools.js";
import type { AddressRecord, DockerEndpointRecord, DockerNetworkRecord, PoolRecord } from "./records.js";

// dockerd tells a driver nothing twice: what it said while nobody listened, or forgot itself in a crash, is found by comparing.

/** The driver's name, of networks and of addresses. */
export const driverName = "pontoon";

/** What is younger may be something that dockerd is just about, ms: it lists a network, and an endpoint's address, last. */
const grace = 30_000;

/** What is stored. */
export interface Stored {
  readonly networks: ReadonlyMap<string, DockerNetworkRecord>;
  readonly endpoints: ReadonlyMap<string, DockerEndpointRecord>;
  readonly pools: ReadonlyMap<string, PoolRecord>;
  readonly addresses: ReadonlyMap<string, AddressRecord>;
}

/** Where what is stored is not what dockerd has. */
export interface Differences {
  /** Ids of what dockerd has not, or no more. */
  readonly networksGone: readonly string[];
  readonly endpointsGone: readonly string[];
  readonly poolsGone: readonly string[];
  /** Seen there for the first time. */
  readonly networksListed: readonly DockerNetworkRecord[];
  readonly poolsListed: readonly PoolRecord[];
  readonly networksUnknown: readonly DriverNetwork[];
  readonly endpointsUnknown: readonly UnknownEndpoint[];
}

export interface UnknownEndpoint {
  readonly network: string;
  readonly endpoint: DriverNetwork["endpoints"][number];
}

/**
 * @param engine all networks with the driver, or the IPAM driver, pontoon
 * @param now when dockerd was asked, ms since 1970
 * @param isAlone whether there is no other dockerd, whose what was never listed may be
 */
export function differencesOf(
  stored: Stored,
  engine: readonly DriverNetwork[],
  now: number,
  isAlone: boolean,
): Differences {
  const isTheirs = (record: { readonly isListed: boolean } | undefined) => isAlone || record?.isListed === true;
  const isOld = (since: number) => since < now - grace;
  const driven = new Map(engine.filter(({ driver }) => driver === driverName).map((network) => [network.id, network]));
  const listed = new Set(engine.flatMap(({ endpoints }) => endpoints.map(({ id }) => id)));
  const pools = new Set(engine.flatMap((network) => poolsOf(network).map(({ id }) => id)));
  return {
    networksGone: [...stored.networks.values()]
      .filter((network) => !driven.has(network.id) && isOld(Date.parse(network.created)) && isTheirs(network))
      .map(({ id }) => id),
    endpointsGone: [...stored.endpoints.values()]
      .filter(({ id, network, since }) => !listed.has(id) && isOld(since) && isTheirs(stored.networks.get(network)))
      .map(({ id }) => id),
    poolsGone: [...stored.pools.values()]
      .filter((pool) => !pools.has(pool.id) && isOld(pool.since) && isTheirs(pool))
      .map(({ id }) => id),
    networksListed: [...stored.networks.values()].filter(({ id, isListed }) => !isListed && driven.has(id)),
    poolsListed: [...stored.pools.values()].filter(({ id, isListed }) => !isListed && pools.has(id)),
    networksUnknown: [...driven.values()].filter(({ id }) => !stored.networks.has(id)),
    endpointsUnknown: [...driven.values()].flatMap(({ id, endpoints }) =>
      endpoints
        .filter((endpoint) => endpoint.container !== undefined && !stored.endpoints.has(endpoint.id))
        .map((endpoint) => ({ network: id, endpoint })),
    ),
  };
}

/** Whether something seems to be dockerd's that is not stored. It may be what dockerd has just removed, and still lists. */
export function hasNews({ networksUnknown, endpointsUnknown }: Differences, { taken }: AddressDifferences): boolean {
  return networksUnknown.length + endpointsUnknown.length + taken.length > 0;
}

/** Of what is not stored, what was so in an earlier look, too. */
export function confirmed(now: Differences, before: Differences): Differences {
  const networks = new Set(before.networksUnknown.map(({ id }) => id));
  const endpoints = new Set(before.endpointsUnknown.map(({ endpoint }) => endpoint.id));
  return {
    ...now,
    networksUnknown: now.networksUnknown.filter(({ id }) => networks.has(id)),
    endpointsUnknown: now.endpointsUnknown.filter(({ endpoint }) => endpoints.has(endpoint.id)),
  };
}

/** As {@link confirmed}, of addresses. */
export function confirmedAddresses(now: AddressDifferences, before: AddressDifferences): AddressDifferences {
  const taken = new Set(before.taken.map(({ pool, address }) => `${pool} ${address}`));
  return { ...now, taken: now.taken.filter(({ pool, address }) => taken.has(`${pool} ${address}`)) };
}

/** What becomes of addresses. */
export interface AddressDifferences {
  readonly taken: readonly { readonly pool: string; readonly address: string; readonly use: AddressRecord["use"] }[];
  /** Kept for containers that name them. */
  readonly kept: readonly { readonly pool: string; readonly address: string }[];
  readonly free: readonly AddressRecord[];
}

/**
 * @param named addresses that containers' users have named, running or not, by network
 * @param now as for {@link differencesOf}
 */
export function addressDifferences(
  { addresses }: Pick<Stored, "addresses">,
  engine: readonly DriverNetwork[],
  named: (network: string) => readonly string[],
  now: number,
): AddressDifferences {
  const inUse = new Map<string, { pool: string; address: string; use: AddressRecord["use"] }>();
  const wanted = new Map<string, { pool: string; address: string }>();
  for (const network of engine)
    for (const pool of poolsOf(network)) {
      const add = (use: AddressRecord["use"], all: readonly (string | undefined)[]) => {
        for (const address of all)
          if (address !== undefined && pool.has(address))
            inUse.set(`${pool.id} ${address}`, { pool: pool.id, address, use });
      };
      add(
        "any",
        network.endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]),
      );
      add("named", pool.auxiliary);
      add("gateway", [pool.gateway]);
      for (const address of named(network.id))
        if (pool.has(address)) wanted.set(`${pool.id} ${address}`, { pool: pool.id, address });
    }
  const isOld = ({ since }: AddressRecord) => since < now - grace;
  const stored = [...addresses.values()];
  return {
    taken: [...inUse]
      .filter(([id]) => addresses.get(id)?.isGiven !== true)
      .map(([id, address]) => ({ ...address, ...(wanted.has(id) && { use: "named" as const }) })),
    kept: [...wanted]
      .filter(([id]) => !inUse.has(id) && isUnkept(addresses.get(id), isOld))
      .map(([, address]) => address),
    free: stored.filter(
      (record) => record.use !== "gateway" && !inUse.has(record.id) && !wanted.has(record.id) && isOld(record),
    ),
  };
}

/** One that is given out to nobody who is there, too. */
function isUnkept(record: AddressRecord | undefined, isOld: (record: AddressRecord) => boolean): boolean {
  return record === undefined || (record.isGiven && isOld(record));
}

interface PoolOfNetwork {
  readonly id: string;
  readonly gateway: string;
  readonly auxiliary: readonly string[];
  has(address: string): boolean;
}

/** dockerd does not tell the gateway that it was given since it named none: it asks for it first, and so has the first address. */
export function usualGateway(subnet: string, ipRange: string | undefined): string {
  const range = ipRange === undefined ? undefined : Subnet.parse(ipRange);
  return new AddressAllocator({ subnet: Subnet.parse(subnet), ipRange: range }).assign("the gateway");
}

/** Pools of ours that a network has its addresses from. */
function poolsOf({ ipamDriver, pools }: DriverNetwork): PoolOfNetwork[] {
  if (ipamDriver !== driverName) return [];
  return pools.map(({ subnet: text, ipRange, gateway, auxiliary }) => {
    const subnet = Subnet.parse(text);
    return {
      id: poolId(subnet.text, ipRange === undefined ? undefined : Subnet.parse(ipRange).text),
      gateway: gateway ?? usualGateway(text, ipRange),
      auxiliary,
      has: (address) => subnet.contains(address),
    };
  });
}
