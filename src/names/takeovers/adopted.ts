import { closeSync, fstatSync, openSync } from "node:fs";
import { RESOLVER_ADDRESS } from "../../../dns/protocol.js";
import { namespaceInode, ownNamespacePath } from "../../../linux/netns.js";
import { pidOfPidfd } from "../../../linux/pidfd.js";
import { socketKind } from "../../../linux/socket-kind.js";
import { namespaceOfSocket } from "../../../linux/socket-namespace.js";
import { localAddress } from "../../../linux/socket.js";
import type { NamespacePlace } from "../../inventory/types.js";
import { pathOf } from "./place.js";
import type { Takeover } from "./takeover.js";

/** What a server says of a takeover that it held for an earlier daemon. */
export interface HeldClaim {
  readonly port: number;
  /** The name of a namespace that has one. */
  readonly path?: string;
}

/**
 * A takeover made of what tells its end and the listeners that a server held for an earlier daemon. A server that was broken
 * into could hand back anything, so each is looked at.
 * @returns undefined when the namespace is gone, or they are not what a takeover of it has
 */
export function takeoverOf(
  { port, path }: HeldClaim,
  descriptors: readonly number[],
): Omit<Takeover, "hasDockerResolver"> | undefined {
  const [end, udp, tcp] = descriptors;
  if (end === undefined || udp === undefined || tcp === undefined || descriptors.length > 3) return undefined;
  try {
    const found = path === undefined ? processOf(end) : namedBy(path, end);
    const isRight =
      found !== undefined &&
      found.inode !== namespaceInode(ownNamespacePath) &&
      isListener(udp, "datagram", port, found.inode) &&
      isListener(tcp, "stream", port, found.inode);
    return isRight ? { ...found, port, end, udp, tcp } : undefined;
  } catch {
    return undefined; // it has just ended, or one of them is something else altogether
  }
}

type Found = Pick<Takeover, "place" | "inode">;

function processOf(pidfd: number): Found | undefined {
  const pid = pidOfPidfd(pidfd);
  if (pid <= 0) return undefined;
  const place: NamespacePlace = { kind: "process", pid };
  return { place, inode: namespaceInode(pathOf(place)) };
}

/** @param end must be of the very namespace that the name stands for now */
function namedBy(path: string, end: number): Found | undefined {
  const [held, named] = [fstatSync(end), openedStat(path)];
  if (held.dev !== named.dev || held.ino !== named.ino) return undefined;
  return { place: { kind: "named", path, inode: held.ino }, inode: held.ino };
}

function openedStat(path: string): { readonly dev: number; readonly ino: number } {
  const fd = openSync(path, "r");
  try {
    return fstatSync(fd);
  } finally {
    closeSync(fd);
  }
}

function isListener(fd: number, type: "datagram" | "stream", port: number, inode: number): boolean {
  const kind = socketKind(fd);
  if (kind.family !== "ipv4" || kind.type !== type || kind.listening !== (type === "stream")) return false;
  const bound = localAddress(fd);
  return bound.ip === RESOLVER_ADDRESS && bound.port === port && namespaceOfSocket(fd) === inode;
}
