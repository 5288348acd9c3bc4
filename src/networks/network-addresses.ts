import { familyOf, type Family } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import { AddressAllocator } from "../../network/addresses/allocator.js";
import { Subnet } from "../../network/addresses/subnet.js";
import type { EndpointRecord, NetworkRecord } from "./records.js";

export interface GivenAddresses {
  readonly ipv4?: string;
  readonly ipv6?: string;
}

/** Who has which address on each network. */
export class NetworkAddresses {
  readonly #allocators = new Map<string, AddressAllocator[]>();

  /**
   * Begins to give out addresses of a network.
   * @param endpoints those on it already
   * @param host addresses of the host's that are in the network, and not the network's own
   */
  add(
    network: NetworkRecord,
    endpoints: readonly EndpointRecord[],
    ownerOf: (endpoint: EndpointRecord) => string,
    host: readonly string[] = [],
  ): void {
    const allocators = network.subnets.map(({ subnet, gateway, ipRange }) => {
      const allocator = new AddressAllocator({
        subnet: Subnet.parse(subnet),
        ipRange: ipRange === undefined ? undefined : Subnet.parse(ipRange),
        reserved: [
          ...(network.pair ? [] : [{ address: gateway, owner: "the gateway" }]),
          ...[...new Set([...(network.lan?.hostAddresses ?? []), ...host])]
            .filter((address) => address !== gateway && Subnet.parse(subnet).contains(address))
            .map((address) => ({ address, owner: "the host" })),
        ],
      });
      const assigned = endpoints.flatMap((endpoint) =>
        [endpoint.ipv4, endpoint.ipv6]
          .filter((address) => address !== undefined && Subnet.parse(subnet).contains(address))
          .map((address) => ({ address: address!, owner: ownerOf(endpoint) })),
      );
      allocator.restore({ assigned, lastGiven: assigned.at(-1)?.address });
      return allocator;
    });
    this.#allocators.set(network.id, allocators);
  }

  remove(network: string): void {
    this.#allocators.delete(network);
  }

  /**
   * One address of each family that the network has.
   * @param wanted those that are asked for
   * Throws ADDRESS_TAKEN, ADDRESS_UNUSABLE, ADDRESSES_EXHAUSTED, ADDRESS_OUTSIDE; nothing is given then.
   */
  give({ id, name, subnets }: NetworkRecord, owner: string, wanted: readonly string[]): GivenAddresses {
    const allocators = this.#allocators.get(id) ?? [];
    const inside = subnets.map(({ subnet }) => Subnet.parse(subnet));
    for (const ip of wanted)
      if (!inside.some((subnet) => subnet.contains(ip)))
        throw new PontoonError(
          "ADDRESS_OUTSIDE",
          ip,
          `${ip} is in no subnet of network ${name} (${subnets.map(({ subnet }) => subnet).join(", ")}); choose one of them`,
        );
    const given: { ipv4?: string; ipv6?: string } = {};
    try {
      for (const family of ["ipv4", "ipv6"] as const) {
        const address = giveOne(allocators, inside, family, owner, wanted);
        if (address !== undefined) given[family] = address;
      }
      return given;
    } catch (error) {
      this.release(id, given);
      throw error;
    }
  }

  /** Somebody elsewhere has these addresses. */
  note(network: string, addresses: readonly string[], owner: string): void {
    for (const allocator of this.#allocators.get(network) ?? [])
      allocator.restore({ assigned: addresses.map((address) => ({ address, owner })) });
  }

  /** What is given next is so many addresses behind these. */
  goOnBehind(network: string, addresses: readonly string[], leaveOut: number): void {
    for (const allocator of this.#allocators.get(network) ?? [])
      for (const address of addresses) allocator.goOnBehind(address, leaveOut);
  }

  release(network: string, { ipv4, ipv6 }: GivenAddresses): void {
    for (const allocator of this.#allocators.get(network) ?? [])
      for (const address of [ipv4, ipv6]) if (address !== undefined) allocator.release(address);
  }
}

/** Of the subnet that has what is asked for, else of the first that has one left. */
function giveOne(
  allocators: readonly AddressAllocator[],
  subnets: readonly Subnet[],
  family: Family,
  owner: string,
  wanted: readonly string[],
): string | undefined {
  const own = wanted.filter((ip) => familyOf(ip) === family);
  if (own.length > 1)
    throw new PontoonError(
      "ADDRESS_OUTSIDE",
      own[1]!,
      `an endpoint has one address of a family, not ${own.join(" and ")}`,
    );
  const [ip] = own;
  let failure: unknown;
  for (const [index, subnet] of subnets.entries()) {
    if (subnet.family !== family || (ip !== undefined && !subnet.contains(ip))) continue;
    try {
      return allocators[index]!.assign(owner, ip);
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure as Error;
  return undefined;
}
