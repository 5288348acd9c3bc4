import type { Inventory } from "./inventory.js";
import { compareJoined, type Joined } from "./naming.js";
import type { Container } from "./types.js";

/** Drivers whose containers the host itself cannot reach: a macvlan or ipvlan link does not talk to its parent. */
const unreachableDrivers: readonly string[] = ["macvlan", "ipvlan"];

/** The container in whose network namespace this one runs; itself but for `--network container:`. Undefined while that one is not known. */
export function namespaceOwner(inventory: Inventory, container: Container): Container | undefined {
  if (container.networkMode.kind !== "container") return container;
  const { of } = container.networkMode;
  return inventory.containers.get(of) ?? containerNamed(inventory, of);
}

/** Where a running container is; nowhere while it is down. */
export function addressesOf({ running, endpoints }: Container): string[] {
  return running ? endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].filter((address) => address !== undefined)) : [];
}

/** The address at which the host reaches a container, of the same family as its clients if it has one; undefined while it has none, or is down. */
export function addressIn(inventory: Inventory, container: Container, family: "ipv4" | "ipv6"): string | undefined {
  const owner = namespaceOwner(inventory, container);
  if (!container.running || !owner?.running) return undefined;
  const joined = owner.endpoints.flatMap((endpoint): Joined[] => {
    const network = inventory.networkOf(endpoint);
    return network && (endpoint.ipv4 ?? endpoint.ipv6) !== undefined ? [{ endpoint, network }] : [];
  });
  joined.sort((a, b) => reach(b) - reach(a) || compareJoined(a, b));
  const other = family === "ipv4" ? "ipv6" : "ipv4";
  for (const { endpoint } of joined) {
    const address = endpoint[family] ?? endpoint[other];
    if (address !== undefined) return address;
  }
  return undefined;
}

/** Why no port of a container can be published; undefined if it can. What is not known yet counts as possible. */
export function unpublishable(inventory: Inventory, container: Container): string | undefined {
  const owner = namespaceOwner(inventory, container);
  if (owner?.networkMode.kind === "host") return `${container.name} uses the host's network, so its ports are the host's own`;
  if (owner?.networkMode.kind === "none") return `${container.name} has no network (--network none); connect it to one`;
  return undefined;
}

/** By name, id, or the beginning of an id (four letters at least). */
export function containerNamed(inventory: Inventory, nameOrId: string): Container | undefined {
  const named = inventory.named(nameOrId);
  if (named || nameOrId.length < 4) return named;
  return [...inventory.containers.values()].find(({ id }) => id.startsWith(nameOrId));
}

function reach({ network }: Joined): number {
  return Number(!unreachableDrivers.includes(network.driver));
}
