import type { SharedEndpoint } from "./records.js";

/** Of an endpoint, those it has: one of a family. */
export function addressesOf({ ipv4, ipv6 }: Pick<SharedEndpoint, "ipv4" | "ipv6">): string[] {
  return [ipv4, ipv6].filter((ip) => ip !== undefined);
}
