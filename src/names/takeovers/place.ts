import type { NamespacePlace } from "../../inventory/types.js";
import { namespacePath } from "../../../linux/proc.js";

/** Where a network namespace is opened. */
export function pathOf(place: NamespacePlace): string {
  return place.kind === "process" ? namespacePath(place.pid, "net") : place.path;
}

/** For messages. */
export function describePlace(place: NamespacePlace): string {
  return place.kind === "process" ? `process ${place.pid}` : place.path;
}

/** Whether two mean the same namespace, of the same process. */
export function isSamePlace(one: NamespacePlace, other: NamespacePlace): boolean {
  if (one.kind === "process") return other.kind === "process" && one.pid === other.pid;
  return other.kind === "named" && one.path === other.path && one.inode === other.inode;
}
