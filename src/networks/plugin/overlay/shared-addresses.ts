import { describeError, errorCode, PontoonError } from "../../../../common/errors.js";
import { Subnet } from "../../../../network/addresses/subnet.js";
import { Queue } from "../../queue.js";
import type { AddressPools } from "../address-pools.js";
import type { PluginParts } from "../parts.js";
import { labels, type RequestAddressCall } from "../protocol.js";
import type { DockerNetworkRecord } from "../records.js";

/** Addresses of networks of several hosts: what the IPAM driver gives out is this host's in the store, too. */
export class SharedAddresses {
  /** What is asked of the store, in order: an address that goes and comes back is not freed afterwards. */
  readonly #queue = new Queue();
  /** Given back, and kept, or not told of while the store was out of reach: this host has them still. By network. */
  readonly #owed = new Map<string, Set<string>>();

  constructor(
    private readonly parts: PluginParts,
    private readonly pools: AddressPools,
  ) {}

  /** As {@link AddressPools.requestAddress}; rejects with ADDRESS_TAKEN for one that another host has, and as `Membership.commit`. */
  requestAddress(call: RequestAddressCall): Promise<{ Address: string; Data: object }> {
    const network = this.#networkOf(call.PoolID);
    const isGateway = call.Options[labels.addressType] === labels.gatewayAddress;
    if (!network || isGateway) return Promise.resolve(this.pools.requestAddress(call));
    return this.#queue.run(() => this.#request(network, call));
  }

  /** As {@link AddressPools.releaseAddress}. */
  releaseAddress(pool: string, text: string): void {
    this.pools.releaseAddress(pool, text);
    const network = this.#networkOf(pool);
    if (network) void this.#queue.run(() => this.#free(network, pool, text.split("/")[0]!));
  }

  async #request(
    { shared: network = "", name }: DockerNetworkRecord,
    call: RequestAddressCall,
  ): Promise<{ Address: string; Data: object }> {
    const { cluster } = this.parts;
    const passed: string[] = [];
    try {
      const known = new Set(cluster.addressesOn(network));
      const own = this.#ownAgain(network, call);
      for (;;) {
        const given = own ?? this.pools.requestAddress(call);
        const [ip = ""] = given.Address.split("/");
        if (own !== undefined || (!known.has(ip) && (await this.#take(network, ip, call.PoolID)))) return given;
        if (call.Address !== "") {
          this.#forget(call.PoolID, ip);
          throw new PontoonError(
            "ADDRESS_TAKEN",
            ip,
            `${ip} is taken on network ${name}${cluster.holderOf(network, ip)}; choose another`,
          );
        }
        passed.push(ip);
      }
    } finally {
      for (const ip of passed) this.#forget(call.PoolID, ip);
    }
  }

  async #take(network: string, ip: string, pool: string): Promise<boolean> {
    try {
      return await this.parts.cluster.reservations.reserve(network, ip);
    } catch (error) {
      if (errorCode(error) === "CLUSTER_AWAY" && this.#owed.get(network)?.has(ip) === true) return true;
      this.#forget(pool, ip);
      throw error;
    }
  }

  /** While nothing can be agreed on, one that this host has not got rid of. */
  #ownAgain(network: string, call: RequestAddressCall): { Address: string; Data: object } | undefined {
    if (call.Address !== "" || this.parts.cluster.isJoined) return undefined;
    const { subnet = "" } = this.parts.records.pools.get(call.PoolID) ?? {};
    const own = this.pools.of(call.PoolID).map(({ address }) => address); // had again, or kept for who names it
    const ip = [...(this.#owed.get(network) ?? [])].find(
      (each) => Subnet.parse(subnet).contains(each) && !own.includes(each),
    );
    if (ip === undefined) return undefined;
    return this.pools.requestAddress({ ...call, Address: ip }, "any");
  }

  #forget(pool: string, ip: string): void {
    const record = this.pools.of(pool).find(({ address }) => address === ip);
    if (record) this.pools.forget(record);
  }

  async #free({ shared: network = "" }: DockerNetworkRecord, pool: string, ip: string): Promise<void> {
    const record = this.pools.of(pool).find(({ address }) => address === ip);
    if (record?.isGiven === true) return; // somebody has it again
    if (record) return this.#owe(network, ip); // it is kept
    try {
      await this.parts.cluster.reservations.free(network, ip);
      this.#owed.get(network)?.delete(ip);
    } catch (error) {
      this.#owe(network, ip);
      this.parts.log.debug({ ip, reason: describeError(error) }, "an address is given back later");
    }
  }

  #owe(network: string, ip: string): void {
    this.#owed.set(network, (this.#owed.get(network) ?? new Set<string>()).add(ip));
  }

  /** Has the store say which addresses this host has. Rejects as `Membership.commit`. */
  settle(): Promise<void> {
    return this.#queue.run(async () => {
      for (const network of this.parts.records.networks.values())
        if (network.shared !== undefined) await this.#settle(network.shared, network);
    });
  }

  async #settle(shared: string, network: DockerNetworkRecord): Promise<void> {
    const { cluster, log } = this.parts;
    const held = this.#poolsOf(network)
      .flatMap((id) => this.pools.of(id))
      .filter(({ use }) => use !== "gateway");
    const { lost } = await cluster.reservations.compare(shared, new Set(held.map(({ address }) => address)));
    this.#owed.delete(shared);
    if (lost.length > 0)
      log.error(
        { network: network.name, addresses: lost },
        "other hosts have addresses of this one by now; start the containers that had them again",
      );
  }

  #poolsOf({ subnets }: DockerNetworkRecord): string[] {
    const own = subnets.map(({ subnet }) => subnet);
    return [...this.parts.records.pools.values()].filter(({ subnet }) => own.includes(subnet)).map(({ id }) => id);
  }

  /** The network of several hosts that has its addresses from a pool. */
  #networkOf(pool: string): DockerNetworkRecord | undefined {
    return [...this.parts.records.networks.values()].find(
      (network) => network.shared !== undefined && this.#poolsOf(network).includes(pool),
    );
  }
}
