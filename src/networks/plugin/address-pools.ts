import { isIP } from "node:net";
import { errorCode, PontoonError } from "../../../common/errors.js";
import { AddressAllocator } from "../../../network/addresses/allocator.js";
import { chooseSubnet, requireFree, type AddressPool, type Taken } from "../../../network/addresses/pools.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import { addressBits, canonicalAddress, familyOf, type Family } from "../../../common/address.js";
import type { PluginRegistry } from "./plugin-registry.js";
import { labels, type RequestAddressCall, type RequestPoolCall } from "./protocol.js";
import type { AddressRecord, PoolRecord } from "./records.js";

const nobodys: ReadonlySet<string> = new Set();
/** Who has an address is told by dockerd alone, and not while it asks for one. */
const someone = "a container";

/** What pools are chosen by. */
export interface PoolGround {
  readonly pools: Readonly<Record<Family, readonly AddressPool[]>>;
  /** What no pool may overlap that dockerd leaves to us to choose: routes and resolvers of the host, and networks. */
  readonly taken: readonly Taken[];
  /** What no pool may overlap that somebody has named: networks alone, as Docker has it. */
  readonly takenByNetworks: readonly Taken[];
  /** Subnets of the network that was named: they are what is asked for. */
  readonly own?: readonly Subnet[];
}

/** What is known of containers, and may be behind. */
export interface AddressUsers {
  /** Who has an address, as a message may name them. */
  holderOf(address: string): string | undefined;
  /** Whether a container's user has named it. */
  isNamed(address: string): boolean;
}

/**
 * The IPAM driver: subnets for networks of Docker's, and addresses of them. An address that a container was given since it asks
 * for it by its number is kept for it, and given to one who does not only when no other is left.
 */
export class AddressPools {
  readonly #allocators = new Map<string, AddressAllocator>();

  constructor(
    private readonly records: PluginRegistry,
    /** @param network of several hosts whose subnet it is to be, as its user calls it */
    private readonly ground: (network?: string) => PoolGround,
    private readonly containers: AddressUsers,
    private readonly now: () => number = Date.now,
  ) {}

  /** Goes on where an earlier daemon was. */
  load(): void {
    for (const pool of this.records.pools.values()) this.#add(pool);
  }

  #add(pool: PoolRecord): AddressAllocator {
    const { id, subnet, ipRange } = pool;
    const allocator = new AddressAllocator({
      subnet: Subnet.parse(subnet),
      ipRange: ipRange === undefined ? undefined : Subnet.parse(ipRange),
    });
    const own = this.of(id).sort((one, other) => one.since - other.since);
    allocator.restore({
      assigned: own.map(({ address }) => ({ address, owner: someone })),
      lastGiven: own.filter(({ use }) => use === "any").at(-1)?.address,
    });
    this.#allocators.set(id, allocator);
    return allocator;
  }

  /** Addresses of a pool. */
  of(pool: string): AddressRecord[] {
    return [...this.records.addresses.values()].filter((record) => record.pool === pool);
  }

  /** Throws OPTION_UNKNOWN, SUBNET_INVALID, SUBNET_OVERLAPS, NO_FREE_SUBNET, RANGE_OUTSIDE. */
  requestPool({ Pool, SubPool, Options, V6 }: RequestPoolCall): { PoolID: string; Pool: string; Data: object } {
    const of = networkOption(Options);
    const ground = this.ground(of);
    const ipRange = SubPool === "" ? undefined : subnetAround(SubPool);
    const subnet = Pool === "" ? this.#choose(V6, ground) : subnetAround(Pool);
    const pool = poolOf(subnet, ipRange, this.now());
    const { id } = pool;
    // One that nobody has an address of was asked for by a dockerd that did not get the answer.
    if (!this.records.pools.has(id) || this.of(id).some(({ isGiven }) => isGiven)) {
      if (Pool !== "" || of !== undefined) requireFree(subnet, [...this.#own, ...ground.takenByNetworks]);
      this.records.put("pool", pool);
      this.#add(pool);
    }
    return { PoolID: id, Pool: subnet.text, Data: {} };
  }

  #choose(isIPv6: boolean, { pools, taken, own }: PoolGround): Subnet {
    const has = own?.find(({ family }) => (family === "ipv6") === isIPv6);
    return has ?? chooseSubnet(pools[isIPv6 ? "ipv6" : "ipv4"], [...this.#own, ...taken]);
  }

  get #own(): Taken[] {
    return [...this.records.pools.values()].map(({ subnet }) => ({
      subnet: Subnet.parse(subnet),
      by: "another network with the IPAM driver pontoon",
    }));
  }

  /** One whose gateway somebody has is in use by the network that got it first. */
  releasePool(id: string): void {
    const addresses = this.of(id);
    if (addresses.some(({ use, isGiven }) => use === "gateway" && isGiven)) return;
    this.forgetPool(id);
  }

  /**
   * @param as what it is given as: by how it is asked for without
   * @param avoid addresses that are not chosen
   * @returns the address with its prefix. Throws CALL_INVALID for what is no pool, ADDRESS_TAKEN, ADDRESS_UNUSABLE, ADDRESSES_EXHAUSTED.
   */
  requestAddress(
    { PoolID, Address, Options }: RequestAddressCall,
    { as, avoid = nobodys }: { readonly as?: AddressRecord["use"]; readonly avoid?: ReadonlySet<string> } = {},
  ): { Address: string; Data: object } {
    const [pool, allocator] = this.#pool(PoolID);
    const wanted = Address.split("/")[0]!;
    const isGateway = Options[labels.addressType] === labels.gatewayAddress;
    const again = isGateway ? this.#gateway(PoolID, wanted) : undefined; // there is one for each network
    const address =
      again ?? (wanted === "" ? this.#next(PoolID, allocator, avoid) : this.#take(pool, allocator, wanted));
    const use = as ?? (isGateway ? "gateway" : wanted === "" ? "any" : "named");
    try {
      this.records.put("address", recordOf(pool, address, { since: this.now(), isGiven: true, use }));
    } catch (error) {
      if (!this.records.addresses.has(keyOf(PoolID, address))) allocator.release(address);
      throw error;
    }
    return { Address: `${address}/${Subnet.parse(pool.subnet).prefix}`, Data: {} };
  }

  #take({ id, subnet }: PoolRecord, allocator: AddressAllocator, wanted: string): string {
    const address = new AddressAllocator({ subnet: Subnet.parse(subnet) }).assign("", wanted);
    const record = this.records.addresses.get(keyOf(id, address));
    if (record?.isGiven === true)
      throw new PontoonError(
        "ADDRESS_TAKEN",
        address,
        `${address} is taken by ${this.#holderOf(record)}; choose another`,
      );
    return allocator.assign(someone, address);
  }

  #gateway(pool: string, wanted: string): string | undefined {
    const gateways = this.of(pool).filter(({ use, isGiven }) => use === "gateway" && isGiven);
    return gateways.find(({ address }) => wanted === "" || address === canonicalAddress(wanted))?.address;
  }

  #holderOf({ address, use }: AddressRecord): string {
    if (use === "gateway") return "the network's gateway";
    const holder = this.containers.holderOf(address);
    if (holder !== undefined) return holder;
    return use === "named" ? "another container or an --aux-address of the network" : "another container";
  }

  /** The next one of the range. When there is none, what has been kept longest is kept no more. */
  #next(pool: string, allocator: AddressAllocator, avoid: ReadonlySet<string>): string {
    const passed: string[] = [];
    try {
      for (;;) {
        const address = this.#nextFree(pool, allocator);
        if (!avoid.has(address)) return address;
        passed.push(address);
      }
    } finally {
      for (const address of passed) allocator.release(address);
    }
  }

  #nextFree(pool: string, allocator: AddressAllocator): string {
    try {
      return allocator.assign(someone);
    } catch (error) {
      const kept = this.of(pool).filter(({ isGiven, address }) => !isGiven && allocator.isInRange(address));
      const [first] = kept.sort((one, other) => one.since - other.since);
      if (errorCode(error) !== "ADDRESSES_EXHAUSTED" || !first) throw error;
      this.#free(first);
      return allocator.assign(someone);
    }
  }

  releaseAddress(pool: string, text: string): void {
    const address = text.split("/")[0]!;
    const record = this.records.addresses.get(keyOf(pool, address));
    if (!record) return;
    if (record.use === "named" || this.containers.isNamed(address))
      this.records.put("address", { ...record, isGiven: false, use: "named", since: this.now() });
    else this.#free(record);
  }

  /** Keeps addresses that nobody has yet for containers that name them. @param subnets of the network that these are to be on */
  keepNamed(subnets: readonly string[], addresses: readonly string[]): void {
    for (const { id, subnet } of this.records.pools.values())
      for (const address of subnets.includes(subnet) ? addresses : [])
        if (Subnet.parse(subnet).contains(address) && !this.records.addresses.has(keyOf(id, address)))
          this.keep(id, address);
  }

  /** Keeps an address for a container that asks for it by its number; one that nobody can have is for it to be refused. */
  keep(pool: string, address: string): void {
    const [known, allocator] = this.#pool(pool);
    try {
      allocator.assign(someone, address);
    } catch (error) {
      if (errorCode(error) === "ADDRESS_UNUSABLE") return;
      throw error;
    }
    this.records.put("address", recordOf(known, address, { since: this.now(), isGiven: false, use: "named" }));
  }

  /** An address is somebody's, whatever was known of it. */
  acknowledge(pool: string, address: string, use: AddressRecord["use"]): void {
    const [known, allocator] = this.#pool(pool);
    allocator.assign(someone, address);
    this.records.put("address", recordOf(known, address, { since: this.now(), isGiven: true, use }));
  }

  /** An address is as it was before it was asked for. */
  putBack(record: AddressRecord): void {
    this.records.put("address", record);
  }

  /** Nobody has an address any more, and nobody will ask for it by its number. */
  forget(record: AddressRecord): void {
    this.#free(record);
  }

  /** No network has a pool any more. */
  forgetPool(id: string): void {
    this.records.remove("address", ...this.of(id).map((record) => record.id));
    this.records.remove("pool", id);
    this.#allocators.delete(id);
  }

  #free({ id, pool, address }: AddressRecord): void {
    this.records.remove("address", id);
    this.#allocators.get(pool)?.release(address);
  }

  /** A pool that is not known any more is what its id says. */
  #pool(id: string): [PoolRecord, AddressAllocator] {
    const known = this.records.pools.get(id);
    const allocator = this.#allocators.get(id);
    if (known && allocator) return [known, allocator];
    const [subnet = "", ipRange] = id.split(",");
    const pool = poolOf(Subnet.parse(subnet), ipRange === undefined ? undefined : Subnet.parse(ipRange), this.now());
    if (pool.id !== id) throw new PontoonError("CALL_INVALID", id, `${id} is not the id of an address pool`);
    this.records.put("pool", pool);
    return [pool, this.#add(pool)];
  }
}

/** The network of several hosts that a pool is to be of. Throws OPTION_UNKNOWN for what else there may be. */
function networkOption(options: RequestPoolCall["Options"]): string | undefined {
  const { "pontoon.network": network, ...others } = options;
  const [option] = Object.keys(others);
  if (option === undefined && (network === undefined || typeof network === "string")) return network;
  throw new PontoonError(
    "OPTION_UNKNOWN",
    option ?? "pontoon.network",
    `the IPAM driver pontoon has no option ${option ?? "pontoon.network that is not a text"}; it knows pontoon.network, a network of several hosts`,
  );
}

/** Says all of a pool, so that one that is not known any more can be used on. */
export const poolId = (subnet: string, ipRange: string | undefined): string =>
  ipRange === undefined ? subnet : `${subnet},${ipRange}`;

/** As Docker's own driver has it, `10.9.1.1/24` means the subnet that has the address. Throws SUBNET_INVALID. */
function subnetAround(text: string): Subnet {
  const [ip = "", prefix = "", ...more] = text.split("/");
  const isAddress = isIP(ip) !== 0 && /^\d{1,3}$/.test(prefix) && more.length === 0;
  return isAddress && Number(prefix) <= addressBits[familyOf(ip)]
    ? Subnet.around(ip, Number(prefix))
    : Subnet.parse(text);
}

/** Throws RANGE_OUTSIDE. */
function poolOf(subnet: Subnet, ipRange: Subnet | undefined, since: number): PoolRecord {
  new AddressAllocator({ subnet, ipRange }); // refuses a range that is outside
  const id = poolId(subnet.text, ipRange?.text);
  return { id, subnet: subnet.text, ...(ipRange && { ipRange: ipRange.text }), since, isListed: false };
}

const keyOf = (pool: string, address: string): string => `${pool} ${address}`;

function recordOf(
  { id }: PoolRecord,
  address: string,
  rest: Pick<AddressRecord, "since" | "isGiven" | "use">,
): AddressRecord {
  return { id: keyOf(id, address), pool: id, address, ...rest };
}
