import { describeError, errorCode, PontoonError } from "../../../../common/errors.js";
import { Subnet } from "../../../../network/addresses/subnet.js";
import { Queue } from "../../queue.js";
import type { AddressPools } from "../address-pools.js";
import type { PluginParts } from "../parts.js";
import { labels, type RequestAddressCall } from "../protocol.js";
import type { AddressRecord, DockerNetworkRecord } from "../records.js";

/** Addresses of networks of several hosts: what the IPAM driver gives out is this host's in the store, too. */
export class SharedAddresses {
  /** What is asked of the store, in order: an address that goes and comes back is not freed afterwards. */
  readonly #queue = new Queue();
  /** What this host has in the store, as far as it was told since the start, by network. */
  readonly #ours = new Map<string, Set<string>>();

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
    const wanted = call.Address.split("/")[0]!;
    const kept = wanted === "" ? undefined : this.#recordOf(call.PoolID, wanted);
    const avoid = new Set(cluster.addressesOn(network));
    const passed: string[] = [];
    try {
      const own = this.#ownAgain(network, call);
      if (own) return own;
      for (;;) {
        const given = this.pools.requestAddress(call, { avoid });
        const [ip = ""] = given.Address.split("/");
        if (!avoid.has(ip) && (await this.#take(network, ip, () => this.#takeBack(call.PoolID, ip, kept))))
          return given;
        if (wanted !== "") {
          this.#takeBack(call.PoolID, ip, kept);
          throw new PontoonError(
            "ADDRESS_TAKEN",
            ip,
            `${ip} is taken on network ${name}${cluster.holderOf(network, ip)}; choose another`,
          );
        }
        passed.push(ip);
      }
    } finally {
      for (const ip of passed) this.#takeBack(call.PoolID, ip, undefined);
    }
  }

  async #take(network: string, ip: string, takeBack: () => void): Promise<boolean> {
    try {
      const isTaken = await this.parts.cluster.reservations.reserve(network, ip);
      if (isTaken) this.#oursOn(network).add(ip);
      return isTaken;
    } catch (error) {
      if (errorCode(error) === "CLUSTER_AWAY" && this.#held(network).includes(ip)) return true;
      takeBack();
      this.parts.overlays.compareSoon(); // it may be taken all the same
      throw error;
    }
  }

  #oursOn(network: string): Set<string> {
    const ours = this.#ours.get(network) ?? new Set<string>();
    this.#ours.set(network, ours);
    return ours;
  }

  /** What this host has in the store, also from before its start. */
  #held(network: string): string[] {
    return [...this.#oursOn(network), ...this.parts.cluster.ownAddressesOn(network)];
  }

  /** While nothing can be agreed on, one that this host has in the store, and nobody on it. */
  #ownAgain(network: string, call: RequestAddressCall): { Address: string; Data: object } | undefined {
    const { cluster, records } = this.parts;
    if (call.Address !== "" || cluster.isJoined) return undefined;
    const { subnet = "" } = records.pools.get(call.PoolID) ?? {};
    const ip = this.#held(network).find(
      (each) => Subnet.parse(subnet).contains(each) && this.#recordOf(call.PoolID, each) === undefined,
    );
    return ip === undefined ? undefined : this.pools.requestAddress({ ...call, Address: ip }, { as: "any" });
  }

  #recordOf(pool: string, ip: string): AddressRecord | undefined {
    return this.pools.of(pool).find(({ address }) => address === ip);
  }

  /** It was not to be had, and is as it was before. */
  #takeBack(pool: string, ip: string, before: AddressRecord | undefined): void {
    const record = this.#recordOf(pool, ip);
    if (before) this.pools.putBack(before);
    else if (record) this.pools.forget(record);
  }

  async #free({ shared: network = "" }: DockerNetworkRecord, pool: string, ip: string): Promise<void> {
    if (this.#recordOf(pool, ip)) return; // it is kept, or somebody has it again
    try {
      await this.parts.cluster.reservations.free(network, ip);
      this.#oursOn(network).delete(ip);
    } catch (error) {
      this.parts.log.debug({ ip, reason: describeError(error) }, "an address is given back later");
      this.parts.overlays.compareSoon();
    }
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
    const addresses = new Set(held.map(({ address }) => address));
    const { lost } = await cluster.reservations.compare(shared, addresses);
    for (const ip of lost) addresses.delete(ip);
    this.#ours.set(shared, addresses);
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
