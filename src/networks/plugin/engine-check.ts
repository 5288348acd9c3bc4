import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { describeError } from "../../../common/errors.js";
import type { DriverNetwork } from "../../inventory/driver-network.js";
import { hasLink, hasLinksLikeOurs } from "../host-facts.js";
import type { Reconciler } from "../reconciler.js";
import type { AddressPools } from "./address-pools.js";
import {
  addressDifferences,
  confirmed,
  confirmedAddresses,
  differencesOf,
  hasNews,
  type AddressDifferences,
  type Differences,
  type UnknownEndpoint,
} from "./differences.js";
import { hostLinkOf } from "./docker-endpoint.js";
import type { DockerNetworks } from "./docker-networks.js";
import type { PluginRegistry } from "./plugin-registry.js";

/** What of dockerd the check needs. */
export interface EngineView {
  /** Whether dockerd is there, and all its containers are known. */
  readonly isKnown: () => boolean;
  /** Whether no other dockerd runs on this host. */
  readonly isAlone: () => boolean;
  /** Networks with the driver, or the IPAM driver, pontoon. */
  driverNetworks(): Promise<readonly DriverNetwork[]>;
  /** Addresses on a network that users of containers have named, whether these run or not. */
  namedAddresses(network: string): readonly string[];
  /** Where a container's namespace is; undefined for one that does not run. */
  namespaceOf(container: string): string | undefined;
  /** Addresses are given out, or free, that were not so. */
  addressesHaveChanged(): void;
}

/** Compared again so often, ms. */
const checkEvery = 60_000;
/** dockerd forgets what it has had removed within milliseconds; it may be busy, ms. */
const lookAgainAfter = 1000;

interface Look {
  readonly engine: readonly DriverNetwork[];
  readonly found: Differences;
  readonly addresses: AddressDifferences;
}

/** Keeps what is stored true to what dockerd has: nothing leaks, and nothing that containers use is lost. */
export class EngineCheck {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  readonly #stopping = new AbortController();

  constructor(
    private readonly records: PluginRegistry,
    private readonly networks: DockerNetworks,
    private readonly pools: AddressPools,
    private readonly reconciler: Reconciler,
    private readonly engine: EngineView,
    private readonly log: Logger,
  ) {}

  /** Compares now, unless that is under way, and from time to time. Never rejects. */
  run(): Promise<void> {
    if (this.#stopping.signal.aborted || !this.engine.isKnown()) return Promise.resolve();
    clearTimeout(this.#timer);
    this.#running ??= this.#check().finally(() => {
      this.#running = undefined;
      if (!this.#stopping.signal.aborted) this.#timer = setTimeout(() => void this.run(), checkEvery).unref();
    });
    return this.#running;
  }

  /** Can be called twice. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #check(): Promise<void> {
    try {
      const look = await this.#look();
      const { engine, found, addresses } = look;
      await this.#recover(found);
      await this.#remove(found);
      await this.networks.freeUnknown(new Set(engine.flatMap(({ endpoints }) => endpoints.map(({ id }) => id))));
      this.records.put("docker-network", ...found.networksListed.map((network) => ({ ...network, isListed: true })));
      this.records.put("pool", ...found.poolsListed.map((pool) => ({ ...pool, isListed: true })));
      this.#changeAddresses(addresses);
      for (const { id, name } of engine) this.networks.nameNetwork(id, name);
      for (const { endpoints } of engine)
        for (const { id, container, name } of endpoints)
          if (container !== undefined) this.networks.rename(id, { id: container, name });
      await this.#sweep(engine);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.log.warn(
        { reason: describeError(error) },
        "networks could not be compared with what dockerd has; it is tried again",
      );
    }
  }

  /** What is dockerd's and not stored is looked at twice: dockerd lists for a moment what it has just had removed. */
  async #look(): Promise<Look> {
    const first = await this.#lookOnce();
    if (!hasNews(first.found, first.addresses)) return first;
    await pause(lookAgainAfter, undefined, { signal: this.#stopping.signal });
    const second = await this.#lookOnce();
    return {
      ...second,
      found: confirmed(second.found, first.found),
      addresses: confirmedAddresses(second.addresses, first.addresses),
    };
  }

  async #lookOnce(): Promise<Look> {
    const now = Date.now();
    const engine = await this.engine.driverNetworks();
    const named = (network: string) => this.engine.namedAddresses(network);
    return {
      engine,
      found: differencesOf(this.records, engine, now, this.engine.isAlone()),
      addresses: addressDifferences(this.records, engine, named, now),
    };
  }

  /** Only where all that dockerd has is stored, and there is no other one: what is left belongs to nobody then. */
  async #sweep(engine: readonly DriverNetwork[]): Promise<void> {
    const { networksUnknown, endpointsUnknown } = differencesOf(this.records, engine, 0, false);
    const isWhole = networksUnknown.length === 0 && !endpointsUnknown.some(hasItsLink);
    if (!isWhole || !this.engine.isAlone() || (this.records.isEmpty && !hasLinksLikeOurs())) return;
    await this.reconciler.background("what is left of Docker's networks could not be removed", () =>
      this.reconciler.sweep(),
    );
  }

  async #recover({ networksUnknown, endpointsUnknown }: Differences): Promise<void> {
    for (const network of networksUnknown) await this.#recoverNetwork(network);
    const isHere = (unknown: UnknownEndpoint) => this.records.networks.has(unknown.network) && hasItsLink(unknown);
    const recovered = endpointsUnknown.filter(isHere).flatMap(({ network, endpoint }) => {
      const path = this.engine.namespaceOf(endpoint.container ?? "");
      if (path === undefined) return [];
      this.networks.recoverEndpoint(network, endpoint, path);
      return [endpoint.name];
    });
    if (recovered.length === 0) return;
    this.log.warn(
      { containers: recovered },
      "places of containers on networks were not stored any more; they are as they were",
    );
    await this.reconciler.background("networks could not be looked at", () => this.reconciler.bringAbout());
  }

  /** One that cannot be had again keeps no other from it. */
  async #recoverNetwork(network: DriverNetwork): Promise<void> {
    try {
      await this.networks.recover(network);
      this.log.warn({ network: network.name }, "a network of Docker's was not stored any more; it is as Docker has it");
    } catch (error) {
      this.log.error(
        { network: network.name, reason: describeError(error) },
        "a network of Docker's is not stored any more, and cannot be made as Docker has it; make it anew",
      );
    }
  }

  async #remove({ networksGone, endpointsGone, poolsGone }: Differences): Promise<void> {
    for (const EndpointID of endpointsGone) await this.networks.deleteEndpoint({ EndpointID });
    for (const id of networksGone) await this.networks.delete(id);
    for (const id of poolsGone) this.pools.forgetPool(id);
    const gone = { networks: networksGone.length, endpoints: endpointsGone.length, pools: poolsGone.length };
    if (networksGone.length + endpointsGone.length + poolsGone.length > 0)
      this.log.info(gone, "Docker has these no more, and they are gone");
  }

  #changeAddresses({ taken, kept, free }: AddressDifferences): void {
    for (const { pool, address, use } of taken) this.pools.acknowledge(pool, address, use);
    for (const { pool, address } of kept) this.pools.keep(pool, address);
    for (const record of free) this.pools.forget(record);
    if (taken.length + kept.length + free.length > 0) this.engine.addressesHaveChanged();
  }
}

/** What somebody has deleted cannot be taken up. */
function hasItsLink({ endpoint }: UnknownEndpoint): boolean {
  return hasLink(hostLinkOf(endpoint.id));
}
