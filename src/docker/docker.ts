import type { Logger } from "pino";
import type { Inventory } from "../inventory/inventory.js";
import { parseDockerAddress } from "./address.js";
import { Admission } from "./admission.js";
import { Engine } from "./engine.js";
import type { DriverNetwork, NewDockerNetwork } from "../inventory/driver-network.js";
import type { Container } from "../inventory/types.js";
import { createdContainer } from "./created-container.js";
import { Feed } from "./feed.js";
import { rootOf } from "./place.js";
import { pathInRoot } from "./root-path.js";
import { Starts } from "./starts.js";

/** In place of an address: no dockerd is followed, and `DOCKER_HOST` does not count. */
export const WITHOUT_DOCKER = "none";

/** The dockerd that is followed, from its address to the inventory. */
export class Docker {
  readonly admission: Admission;
  readonly feed: Feed;
  readonly starts: Starts;
  readonly #engine: Engine;

  /**
   * Throws DOCKER_HOST_INVALID, DOCKER_CERTIFICATES.
   * @param host as DOCKER_HOST may hold it
   * @param isShared whether other daemons may follow the same dockerd: this one takes over nothing
   * @param onState the feed's state, or what it is behind in, has changed
   */
  constructor(host: string, isShared: boolean, inventory: Inventory, log: Logger, onState: () => void) {
    const address = parseDockerAddress(host, process.env);
    this.admission = new Admission(host, address, isShared);
    this.#engine = new Engine(host, address, this.admission);
    this.feed = new Feed(this.#engine, inventory, log, { onState, admit: () => this.admit() });
    this.starts = new Starts(
      (id) => this.#engine.driverNetwork(id),
      (name) => this.#created(name),
      inventory,
      () => this.feed.state.kind === "following",
    );
  }

  async #created(name: string): Promise<Container | undefined> {
    const { rootDir, place } = this.admission;
    const id = await this.#engine.containerNamed(name);
    if (id === undefined || rootDir === undefined) return undefined;
    return createdContainer(rootDir, id, (file) => pathInRoot(rootOf(place), file, { followLink: false }));
  }

  /** Networks of this driver, or with this IPAM driver. */
  driverNetworks(driver: string): Promise<DriverNetwork[]> {
    return this.#engine.driverNetworks(driver);
  }

  /** As {@link Engine.createNetwork}. */
  createNetwork(network: NewDockerNetwork): Promise<void> {
    return this.#engine.createNetwork(network);
  }

  /** As {@link Engine.removeNetwork}. */
  removeNetwork(id: string): Promise<void> {
    return this.#engine.removeNetwork(id);
  }

  /** As {@link Admission.admit}. */
  admit(): Promise<void> {
    return this.admission.admit(this.#engine);
  }
}
