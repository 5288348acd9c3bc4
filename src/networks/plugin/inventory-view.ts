import type { Inventory } from "../../inventory/inventory.js";

// What the plugin wants to know of Docker's containers.

type Containers = Pick<Inventory, "containers" | "isOn">;

/** Which container of Docker's has an address, in words. */
export function holderOf({ containers }: Pick<Inventory, "containers">, address: string): string | undefined {
  const holder = [...containers.values()].find(({ endpoints }) =>
    endpoints.some(({ ipv4, ipv6 }) => ipv4 === address || ipv6 === address),
  );
  return holder && `container ${holder.name}`;
}

/** Addresses that users of containers have named, whether these run or not. */
export function namedAddresses({ containers }: Pick<Inventory, "containers">): string[] {
  return [...containers.values()].flatMap(({ endpoints }) => endpoints.flatMap(({ named = [] }) => named));
}

/** As {@link namedAddresses}, on one network. */
export function namedAddressesOn(inventory: Containers, network: string): string[] {
  return [...inventory.containers.values()].flatMap(({ endpoints }) =>
    endpoints.filter((endpoint) => inventory.isOn(endpoint, network)).flatMap(({ named = [] }) => named),
  );
}

/** Where a running container's namespace is. */
export function namespaceOf({ containers }: Pick<Inventory, "containers">, id: string): string | undefined {
  const place = containers.get(id)?.sandbox;
  if (!place) return undefined;
  return place.kind === "process" ? `/proc/${place.pid}/ns/net` : place.path;
}
