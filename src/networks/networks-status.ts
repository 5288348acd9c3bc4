import { isNamespace } from "../../linux/named-namespace.js";
import type { Registry } from "./registry.js";
import { namespacePathOf } from "./wanted.js";

/** How pontoon's own networks are, for `pontoon status` and `pontoon check`. */
export interface NetworksStatus {
  readonly networks: number;
  readonly sandboxes: number;
  /** Names of sandboxes whose namespace is not there. */
  readonly gone: readonly string[];
  /** Names of sandboxes that are cut off from a network of several hosts; left out where none is. */
  readonly cutOff?: readonly string[];
  /** Why nothing can be made or mended; undefined when all can. */
  readonly off?: string | undefined;
  /** Removed networks and endpoints of which plugins are still to be told; left out where there are none. */
  readonly due?: number | undefined;
  /** Why encrypted networks reach no other host; left out where they do. */
  readonly tunnelTrouble?: string | undefined;
  /** What dockerd has of the driver pontoon; left out where it has none. */
  readonly driver?: DriverStatus | undefined;
}

/** How dockerd's driver is. */
export interface DriverStatus {
  readonly networks: number;
  /** Containers' places on them. */
  readonly endpoints: number;
  /** Why dockerd cannot use it; undefined when it can. */
  readonly off?: string | undefined;
}

export function networksStatus(
  registry: Pick<Registry, "networks" | "sandboxes" | "endpoints">,
  off?: string,
  driver?: DriverStatus,
  due = 0,
): NetworksStatus {
  const { networks, sandboxes, endpoints } = registry;
  const isGone = ({ name, inode }: { name: string; inode: number }) => !isNamespace(namespacePathOf(name), inode);
  const gone = [...sandboxes.values()].filter(isGone).map(({ name }) => name);
  const isCutOff = new Set([...endpoints.values()].flatMap((each) => (each.cutOff === undefined ? [] : each.sandbox)));
  const cutOff = [...isCutOff].map((id) => sandboxes.get(id)?.name ?? id);
  return {
    networks: networks.size,
    sandboxes: sandboxes.size,
    gone,
    ...(cutOff.length > 0 && { cutOff }),
    ...(off !== undefined && { off }),
    ...(due > 0 && { due }),
    ...(driver && { driver }),
  };
}
