import { createHash } from "node:crypto";
import { addressBits } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import { Subnet } from "./subnet.js";

/** Subnets of one size from which one is chosen for a network that names none; an entry of Docker's `default-address-pools`. */
export interface AddressPool {
  readonly base: Subnet;
  /** The prefix of each subnet, in bits. */
  readonly size: number;
}

/** A subnet that no network may have, since somebody has it. */
export interface Taken {
  readonly subnet: Subnet;
  /** By whom, as a message may name it: `network web`, `the host's route 10.0.0.0/8 dev eth0`, `the resolver 10.1.1.1`. */
  readonly by: string;
}

/** How many of those who have subnets a message names. */
const namedAtMost = 5;

/** Docker's own pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and so on. */
export const defaultPools: readonly AddressPool[] = [
  ["172.17.0.0/16", 16],
  ["172.18.0.0/15", 16],
  ["172.20.0.0/14", 16],
  ["172.24.0.0/13", 16],
  ["192.168.0.0/16", 20],
].map(([base, size]) => addressPool(base as string, size as number));

/** Throws ADDRESS_POOL_INVALID for a size that does not fit, SUBNET_INVALID for a base that is none. */
export function addressPool(base: string, size: number): AddressPool {
  const subnet = Subnet.parse(base);
  const most = addressBits[subnet.family];
  if (!Number.isInteger(size) || size < subnet.prefix || size > most)
    throw new PontoonError(
      "ADDRESS_POOL_INVALID",
      base,
      `subnets of the address pool ${subnet.text} cannot have a prefix of ${size} bits; give a size from ${subnet.prefix} to ${most}`,
    );
  return { base: subnet, size };
}

/**
 * 65,536 IPv6 subnets of a host (RFC 4193), each a /64. As Docker derives them, so that the same seed gives the same.
 * @param seed what is always the same on this host, and not on another
 */
export function uniqueLocalPool(seed: string): AddressPool {
  const id = createHash("sha256").update(seed).digest().subarray(3, 8).toString("hex");
  return addressPool(`fd${id.slice(0, 2)}:${id.slice(2, 6)}:${id.slice(6)}::/48`, 64);
}

/**
 * The first subnet of the pools, in their order, that overlaps nobody's.
 * @param pools of the family that is wanted
 * Throws NO_FREE_SUBNET with what is used, when all are.
 */
export function chooseSubnet(pools: readonly AddressPool[], taken: readonly Taken[]): Subnet {
  for (const pool of pools) {
    const subnet = firstFree(pool, taken);
    if (subnet) return subnet;
  }
  const bases = pools.map(({ base, size }) => `${base.text} in parts of /${size}`).join(", ") || "none of this family";
  throw new PontoonError(
    "NO_FREE_SUBNET",
    "network",
    `no subnet of the address pools is free (${bases}): ${usedOf(pools, taken)}; name a free one with --subnet, or configure more pools`,
  );
}

/** Throws SUBNET_OVERLAPS, naming the other one. */
export function requireFree(subnet: Subnet, taken: readonly Taken[]): void {
  const other = taken.find((each) => counts(each) && each.subnet.overlaps(subnet));
  if (other)
    throw new PontoonError(
      "SUBNET_OVERLAPS",
      subnet.text,
      `${subnet.text} overlaps ${other.subnet.text}, which ${other.by} has; choose another subnet`,
    );
}

/** A default route says where all else is, not that somebody has it. */
function counts({ subnet }: Taken): boolean {
  return subnet.prefix > 0;
}

/** Goes through those who have parts of the pool, not through its parts: a pool may have 2⁵⁶ of them. */
function firstFree({ base, size }: AddressPool, taken: readonly Taken[]): Subnet | undefined {
  const spans = taken
    .filter((each) => counts(each) && each.subnet.overlaps(base))
    .map(({ subnet }) => spanOf(subnet, { base, size }))
    .sort((one, other) => (one.first < other.first ? -1 : one.first > other.first ? 1 : 0));
  let part = 0n;
  for (const { first, last } of spans) {
    if (first > part) break;
    if (last >= part) part = last + 1n;
  }
  return part < 1n << BigInt(size - base.prefix) ? base.part(size, part) : undefined;
}

/** Numbers of the first and last part of the pool that a subnet has something of. */
function spanOf(subnet: Subnet, { base, size }: AddressPool): { first: bigint; last: bigint } {
  const hostBits = BigInt(addressBits[base.family] - size);
  if (subnet.encloses(base)) return { first: 0n, last: (base.size - 1n) >> hostBits };
  const start = base.numberOf(subnet.network)!;
  return { first: start >> hostBits, last: (start + subnet.size - 1n) >> hostBits };
}

function usedOf(pools: readonly AddressPool[], taken: readonly Taken[]): string {
  const used = taken.filter((each) => counts(each) && pools.some(({ base }) => base.overlaps(each.subnet)));
  if (used.length === 0) return "there is nothing to choose from";
  const named = used.slice(0, namedAtMost).map(({ subnet, by }) => `${by} has ${subnet.text}`);
  return [...named, ...(used.length > namedAtMost ? [`${used.length - namedAtMost} more are used`] : [])].join(", ");
}
