import type { Inventory } from "../inventory/inventory.js";
import type { Container, Network } from "../inventory/types.js";

/** `GET /v1/inventory`: what is known of the host, of whichever source. */
export interface InventoryAnswer {
  readonly containers: readonly Container[];
  readonly networks: readonly Network[];
}

export function inventoryAnswer({ containers, networks }: Inventory): InventoryAnswer {
  return { containers: [...containers.values()], networks: [...networks.values()] };
}
