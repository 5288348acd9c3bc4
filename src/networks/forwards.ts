import type { KernelForward } from "../../network/firewall/wanted.js";

/** What is to be changed to come from one set of forwards to another. One that leads elsewhere by now is removed, and added anew. */
export function differenceOfForwards(
  before: ReadonlyMap<string, KernelForward>,
  after: ReadonlyMap<string, KernelForward>,
): { readonly add: KernelForward[]; readonly remove: KernelForward[] } {
  const isSame = (one: KernelForward | undefined, other: KernelForward) =>
    JSON.stringify(one) === JSON.stringify(other);
  return {
    add: [...after].filter(([key, forward]) => !isSame(before.get(key), forward)).map(([, forward]) => forward),
    remove: [...before].filter(([key, forward]) => !isSame(after.get(key), forward)).map(([, forward]) => forward),
  };
}
