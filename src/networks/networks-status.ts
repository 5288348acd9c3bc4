import { isNamespace } from "../../linux/named-namespace.js";
import type { Registry } from "./registry.js";
import { namespacePathOf } from "./wanted.js";

/** How pontoon's own networks are, for `pontoon status` and `pontoon check`. */
export interface NetworksStatus {
  readonly networks: number;
  readonly sandboxes: number;
  /** Names of sandboxes whose namespace is not there. */
  readonly gone: readonly string[];
  /** Why nothing can be made or mended; undefined when all can. */
  readonly off?: string | undefined;
}

export function networksStatus(registry: Pick<Registry, "networks" | "sandboxes">, off?: string): NetworksStatus {
  const { networks, sandboxes } = registry;
  const isGone = ({ name, inode }: { name: string; inode: number }) => !isNamespace(namespacePathOf(name), inode);
  const gone = [...sandboxes.values()].filter(isGone).map(({ name }) => name);
  return { networks: networks.size, sandboxes: sandboxes.size, gone, ...(off !== undefined && { off }) };
}
