import type { Inventory } from "../inventory/inventory.js";
import { addressesOf } from "../inventory/targets.js";

/**
 * Tells of addresses that a running container has lost: it ended, left a network, or another one has them now. A container
 * that ends is told of before Docker can give its addresses to another.
 */
export class LostAddresses {
  /** By container, as last told. */
  readonly #had = new Map<string, readonly string[]>();
  /** Who has each. Networks that the host does not reach may repeat addresses of others: the last one to get it counts. */
  readonly #holders = new Map<string, string>();

  constructor(
    private readonly inventory: Inventory,
    private readonly onLost: (addresses: readonly string[]) => void,
  ) {
    inventory.onChange(({ containers }) => {
      const lost = [...containers].flatMap((id) => this.#lostBy(id));
      if (lost.length > 0) this.onLost(lost);
    });
  }

  #lostBy(id: string): string[] {
    const container = this.inventory.containers.get(id);
    const had = this.#had.get(id) ?? [];
    const has = container ? addressesOf(container, this.inventory.gatewayOf(id)) : [];
    const lost = had.filter((address) => !has.includes(address) && this.#holders.get(address) === id);
    for (const address of lost) this.#holders.delete(address);
    for (const address of has) {
      if (had.includes(address)) continue;
      if (this.#holders.has(address)) lost.push(address);
      this.#holders.set(address, id);
    }
    if (has.length === 0) this.#had.delete(id);
    else this.#had.set(id, has);
    return lost;
  }
}
