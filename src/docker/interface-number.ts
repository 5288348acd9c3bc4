import { networkInterfaces } from "node:os";

/**
 * The number of an interface of this network, by its name or by the number itself in digits; undefined when there is no such
 * interface, or it has no link-local address.
 */
export function interfaceNumber(name: string): number | undefined {
  if (/^\d{1,9}$/.test(name)) return Number(name);
  const [, addresses = []] = Object.entries(networkInterfaces()).find(([each]) => each === name) ?? [];
  return addresses.flatMap(({ scopeid }) => scopeid || [])[0];
}
