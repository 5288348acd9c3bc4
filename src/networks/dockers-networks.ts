import type { SubnetUsers } from "./taken.js";

/** What is known of networks of Docker's, so far. */
export interface DockersNetworks {
  subnets(): SubnetUsers["dockerSubnets"];
  bridges(): readonly string[];
}
