import { createHash } from "node:crypto";
import type { NetworkAnswer } from "./contract.js";
import { PontoonError } from "../../common/errors.js";

/** The network of sandboxes that name none; made when the first of them comes. */
export const defaultNetwork = { name: "default", bridge: "pontoon0" } as const;

/** Networks that are always there, and what they are. */
const fixed: Readonly<Record<string, { readonly driver: string; readonly reason: string }>> = {
  default: { driver: "bridge", reason: "takes sandboxes that name no network" },
  host: { driver: "host", reason: "is the host's own stack" },
  none: { driver: "null", reason: "has nothing but a loopback" },
};

/** Those that no record stands for. @param exists whether there is a record of that name */
export function fixedNetworks(exists: (name: string) => boolean): NetworkAnswer[] {
  return Object.entries(fixed)
    .filter(([name]) => !exists(name))
    .map(([name, { driver }]) => ({
      Name: name,
      Id: createHash("sha256").update(`pontoon network ${name}`).digest("hex"),
      Created: new Date(0).toISOString(),
      Scope: "local",
      Driver: driver,
      EnableIPv6: false,
      IPAM: { Driver: "default", Config: [] },
      Internal: false,
      Containers: {},
      Options: name === defaultNetwork.name ? { "com.docker.network.bridge.name": defaultNetwork.bridge } : {},
      Labels: {},
    }));
}

export function isFixed(name: string): boolean {
  return Object.hasOwn(fixed, name);
}

/** Throws NETWORK_FIXED for one that cannot be removed. */
export function requireRemovable(name: string): void {
  if (isFixed(name))
    throw new PontoonError(
      "NETWORK_FIXED",
      name,
      `the network ${name} is always there, since it ${fixed[name]!.reason}; it cannot be removed`,
    );
}

/** Throws NETWORK_FIXED for one that is no bridge. */
export function requireBridge(name: string): void {
  if (isFixed(name) && name !== defaultNetwork.name)
    throw new PontoonError(
      "NETWORK_FIXED",
      name,
      `the network ${name} ${fixed[name]!.reason}: no sandbox can be connected to it`,
    );
}
