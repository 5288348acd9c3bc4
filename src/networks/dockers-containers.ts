import type { Inventory } from "../inventory/inventory.js";
import type { Container } from "../inventory/types.js";

/** Digits of an id that stand for the whole, at least. */
const idAtLeast = 4;

/** A container of Docker's, by name, id, or the beginning of an id that is no other's. */
export function dockersContainer(inventory: Inventory, nameOrId: string): Container | undefined {
  const source = inventory.source("docker");
  const named = inventory.containers.get(source.named(nameOrId) ?? nameOrId);
  if (named?.source === "docker") return named;
  if (nameOrId.length < idAtLeast) return undefined;
  const found = source.ids.filter((id) => id.startsWith(nameOrId)).map((id) => inventory.containers.get(id));
  return found.length === 1 ? found[0] : undefined;
}
