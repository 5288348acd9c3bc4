import type { Logger } from "pino";
import type { Inventory } from "../inventory/inventory.js";
import { parseDockerAddress } from "./address.js";
import { Admission } from "./admission.js";
import { Engine } from "./engine.js";
import { Feed } from "./feed.js";

/** In place of an address: no dockerd is followed, and `DOCKER_HOST` does not count. */
export const WITHOUT_DOCKER = "none";

/** The dockerd that is followed, from its address to the inventory. */
export class Docker {
  readonly admission: Admission;
  readonly feed: Feed;
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
  }

  /** As {@link Admission.admit}. */
  admit(): Promise<void> {
    return this.admission.admit(this.#engine);
  }
}
