import type { Container } from "../inventory/types.js";
import type { SubnetUsers } from "./taken.js";

/** What is known of networks of Docker's, so far. */
export interface DockersNetworks {
  subnets(): SubnetUsers["dockerSubnets"];
  bridges(): readonly string[];
}

/** What is known of Docker's containers. */
export interface DockersContainers {
  /** Whether there is a dockerd to ask. */
  readonly isFollowed: boolean;
  /** Whether all containers are known: one that is not has been removed. */
  isComplete(): boolean;
  /** By name, id, or the beginning of an id. */
  find(nameOrId: string): Container | undefined;
  /** Where a file that dockerd names can be opened. */
  pathOf(file: string): string;
}
