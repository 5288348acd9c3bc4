import type { Network } from "../inventory/types.js";

/** Links of Docker's bridges, in order: its users may have named them as they like. */
export function dockerBridges(networks: Iterable<Network>): string[] {
  return [...networks]
    .flatMap(({ source, bridge }) => (source === "docker" && bridge !== undefined ? [bridge] : []))
    .sort();
}
