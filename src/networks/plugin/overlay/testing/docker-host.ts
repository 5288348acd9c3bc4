import { pino } from "pino";
import { describeError } from "../../../../../common/errors.js";
import type { Change } from "../../../../../network/protocol.js";
import type { HostRecord, SharedNetwork } from "../../../../cluster/records.js";
import { SimulatedHost } from "../../../../cluster/testing/simulated-host.js";
import type { SimulatedStore } from "../../../../cluster/testing/simulated-store.js";
import { Inventory } from "../../../../inventory/inventory.js";
import { NetworkAddresses } from "../../../network-addresses.js";
import { EngineCluster } from "../../../overlay/engine-cluster.js";
import { Overlays } from "../../../overlay/overlays.js";
import { Queue } from "../../../queue.js";
import type { Reconciler } from "../../../reconciler.js";
import { MemoryStore } from "../../../testing/memory-store.js";
import { registryOf } from "../../../testing/records.js";
import { AddressPools } from "../../address-pools.js";
import type { PluginParts } from "../../parts.js";
import { PluginRegistry } from "../../plugin-registry.js";
import { labels } from "../../protocol.js";
import { dockerNetworkRecord } from "../../testing/docker-network.js";
import { SharedAddresses } from "../shared-addresses.js";
import { SharedEndpoints } from "../shared-endpoints.js";

/**
 * A host with a dockerd that shares a simulated store: the daemon's own parts, but for the kernel, which is told of what is to change
 * and does nothing, and dockerd, whose part tests play.
 */
export class DockerHost {
  readonly host: SimulatedHost;
  readonly records = new PluginRegistry(new MemoryStore());
  readonly registry = registryOf({});
  readonly inventory = new Inventory();
  readonly pools: AddressPools;
  readonly addresses: SharedAddresses;
  readonly endpoints: SharedEndpoints;
  readonly overlays: Overlays;
  readonly cluster: EngineCluster;
  /** What the kernel was told. */
  readonly changes: Change[] = [];
  /** Rejects what the kernel is told next. */
  failure: Error | undefined;
  /** Lines of the log, without what was said for debugging. */
  readonly said: { readonly msg: string; readonly reason?: string }[] = [];
  readonly log = pino({ level: "info" }, { write: (line) => void this.said.push(JSON.parse(line) as { msg: string }) });
  /** Called when twins are to be reviewed. */
  onReview = (): void => undefined;
  readonly #queue = new Queue();

  constructor(record: HostRecord, store: SimulatedStore) {
    const { records, registry, inventory, log } = this;
    this.host = new SimulatedHost(record, store, log);
    const reconciler = this.#reconciler();
    const addresses = new NetworkAddresses();
    const engine = () => this.endpoints;
    this.overlays = new Overlays({ registry, reconciler, addresses, log, engine, tell: () => undefined });
    this.overlays.use(this.host.cluster);
    this.cluster = new EngineCluster(this.overlays);
    const parts: PluginParts = {
      records,
      registry,
      reconciler,
      docker: {} as PluginParts["docker"],
      defaults: {} as PluginParts["defaults"],
      overlays: this.overlays,
      cluster: this.cluster,
      log,
      onChanged: () => undefined,
    };
    const ground = { pools: { ipv4: [], ipv6: [] }, taken: [], takenByNetworks: [] };
    this.pools = new AddressPools(records, () => ground, { holderOf: () => undefined, isNamed: () => false });
    this.addresses = new SharedAddresses(parts, this.pools);
    const around = { inventory, nameOf: () => Promise.resolve(undefined) };
    this.endpoints = new SharedEndpoints(parts, around, this.addresses, { review: () => this.onReview() });
  }

  #reconciler(): Reconciler {
    const background = async (what: string, work: () => Promise<void>) => {
      const told = (error: unknown) => this.log.warn({ reason: describeError(error) }, what);
      await this.#queue.run(work).catch(told);
    };
    const change = (change: Change) => {
      const { failure } = this;
      this.failure = undefined;
      if (failure) return Promise.reject(failure);
      this.changes.push(change);
      return Promise.resolve();
    };
    return {
      command: <Result>(work: () => Promise<Result>) => this.#queue.run(work),
      background,
      change,
      neighbours: () => Promise.resolve(),
      isUsed: (network: string) => this.endpoints.joinedOn(network) > 0,
    } as unknown as Reconciler;
  }

  /** Hears of what is in the store, and does all that comes of it. */
  async hear(): Promise<void> {
    for (const change of this.host.hear()) this.overlays.onChange(change);
    await idle();
  }

  /** In touch with the store again. */
  async heal(): Promise<void> {
    this.host.way.isCut = false;
    for (const change of this.host.hear()) this.overlays.onChange(change);
    this.overlays.onJoined();
    await idle();
  }

  /** As when dockerd has a network of several hosts made. @returns its pools */
  takeUp({ id, name, subnets }: Pick<SharedNetwork, "id" | "name" | "subnets">): string[] {
    const pools = subnets.map(({ subnet, gateway }) => {
      const call = { AddressSpace: "", Pool: subnet, SubPool: "", Options: {}, V6: subnet.includes(":") };
      const { PoolID } = this.pools.requestPool(call);
      this.pools.requestAddress({ PoolID, Address: gateway, Options: { [labels.addressType]: labels.gatewayAddress } });
      return PoolID;
    });
    const created = new Date().toISOString();
    const own = { id: `docker-${this.host.record.name}-${id}`, name, created, subnets: [...subnets] };
    this.records.put("docker-network", dockerNetworkRecord(1, { ...own, shared: id, sharedOptions: {} }));
    return pools;
  }

  /** What was said at the least as a warning. */
  get complaints(): string[] {
    return this.said.filter((line) => (line as { level?: number }).level! >= 40).map(({ msg }) => msg);
  }

  stop(): void {
    this.overlays.stop();
  }
}

/** All is done that was asked for: nothing of it waits for anything but each other. */
export const idle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
