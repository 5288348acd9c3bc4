import { fstatSync, openSync } from "node:fs";
import type { Family } from "../../../common/address.js";
import { DOCKER_RESOLVER_MARK, RESOLVER_ADDRESS } from "../../../dns/protocol.js";
import { errorCode, PontoonError } from "../../../common/errors.js";
import type { NamespacePlace } from "../../inventory/types.js";
import { isProcessOf } from "./container-process.js";
import { LinuxError } from "../../../linux/ffi.js";
import { insideNamespace, namespaceInode, ownNamespacePath } from "../../../linux/netns.js";
import { NetlinkError, Nfnetlink } from "../../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../../linux/netlink/nftables/ruleset.js";
import { openingAll } from "../../../linux/opening.js";
import { raiseLoopback } from "../../../linux/loopback.js";
import { openPidfd } from "../../../linux/pidfd.js";
import {
  bindSocket,
  closeDescriptor,
  forceBufferSizes,
  listenSocket,
  localAddress,
  outgoingSocket,
  setMark,
  tcpSocket,
  udpSocket,
} from "../../../linux/socket.js";
import { foreignLegacyRule, LegacyRules } from "./legacy-rules.js";
import {
  applyAside,
  changeRules,
  foreignDnsRule,
  patiently,
  readRules,
  takeoverOf as takeoverTableOf,
} from "./namespace-rules.js";
import { describePlace, pathOf } from "./place.js";
import { disarm, hasTakeoverTable, removeTable, takeoverTable } from "./takeover-table.js";

/**
 * Receive buffer of a UDP listener, bytes: queries wait in it while a server is started again. The kernel doubles it and
 * counts some 830 bytes for a usual query: 20,000 of them.
 */
const listenerBuffer = 8 << 20;
const backlog = 128;
const bindTries = 16;

/** A namespace whose resolver is taken over, with every descriptor of ours in it. They are close-on-exec. */
export interface Takeover {
  readonly inode: number;
  readonly place: NamespacePlace;
  /** Tells the namespace's end: the process's pidfd, or a descriptor of the namespace that the name is compared with. */
  readonly end: number;
  /** Whether Docker's resolver answers there when ours does not. */
  readonly hasDockerResolver: boolean;
  readonly udp: number;
  readonly tcp: number;
  readonly port: number;
}

/** A namespace to be taken over. */
export interface Wanted {
  readonly place: NamespacePlace;
  /** Full id of the container that a process must be in; undefined for one that is known to be meant. */
  readonly container: string | undefined;
  /** Whether Docker's resolver answers there when ours does not: without it, whatever is asked there comes to us for good. */
  readonly hasDockerResolver: boolean;
}

/**
 * Opens our sockets in a namespace and loads the takeover table, not armed yet: the
 * server arms it when it is ready. Some 2 ms of the event loop; the kernel's own work is done beside it.
 * Rejects with FOREIGN_DNS_RULES when the namespace redirects DNS itself, RULES_TOO_MANY or RULES_CHANGING when that cannot be
 * found out, RULES_BUSY when the table cannot be loaded for now, CONTAINER_ELSEWHERE when the process is not the container's,
 * ESRCH when there is none, NAMESPACE_GONE when the name is gone or stands for another namespace.
 * @param onNamespace called inside the namespace, before its rules are looked at
 */
export async function openTakeover(
  { place, container, hasDockerResolver }: Wanted,
  onNamespace: () => void = () => undefined,
): Promise<Takeover> {
  const opened: number[] = [];
  const open: Open = (make) => {
    const fd = make();
    opened.push(fd);
    return fd;
  };
  try {
    const { end, inode } = openEnd(place, container, open);
    if (inode === namespaceInode(ownNamespacePath))
      throw new PontoonError(
        "HOST_NAMESPACE",
        describePlace(place),
        place.kind === "process"
          ? `process ${place.pid} lives in the host's own network namespace`
          : `${place.path} is the host's own network namespace`,
      );
    const { nfnetlink, ...inside } = insideNamespace(pathOf(place), inode, () => {
      onNamespace();
      // An engine's new namespace is taken over while its first link is still being made.
      if (!hasDockerResolver) raiseLoopback();
      return openInside(place, open);
    });
    if ("refusal" in inside) {
      await patiently(() => nfnetlink.closeAside());
      throw inside.refusal;
    }
    const { replaces, ...listeners } = inside;
    try {
      requireNone(await foreignLegacyRule(pathOf(place), inode), place);
    } catch (error) {
      await patiently(() => nfnetlink.closeAside());
      throw error;
    }
    await applyAside(nfnetlink, takeoverTable(listeners.port, replaces, hasDockerResolver));
    return { inode, place, end, hasDockerResolver, ...listeners };
  } catch (error) {
    opened.forEach(closeDescriptor);
    throw error;
  }
}

/** What tells the end of a namespace, and which one it is. Throws as {@link openTakeover} rejects. */
function openEnd(place: NamespacePlace, container: string | undefined, open: Open): { end: number; inode: number } {
  if (place.kind === "process") {
    const end = open(() => openPidfd(place.pid));
    if (container !== undefined && !isProcessOf(place.pid, container))
      throw new PontoonError(
        "CONTAINER_ELSEWHERE",
        `process ${place.pid}`,
        `process ${place.pid} of this machine is not in the container: its dockerd runs on another machine, or in a container; run pontoon beside it`,
      );
    // The pid cannot be reused while the pidfd says it lives; the inode is checked again inside.
    return { end, inode: namespaceInode(pathOf(place)) };
  }
  const end = open(() => openNamed(place.path));
  const { ino: inode } = fstatSync(end);
  if (inode !== place.inode) throw namespaceGone(place.path);
  return { end, inode };
}

/** Close-on-exec, as whatever Node opens. */
function openNamed(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") throw namespaceGone(path);
    throw error;
  }
}

function namespaceGone(path: string): PontoonError {
  return new PontoonError(
    "NAMESPACE_GONE",
    path,
    `${path} is gone, or stands for another network namespace by now; make the sandbox anew`,
  );
}

/**
 * Loads the table once more, for the same sockets, when somebody has flushed the namespace's rules or changed ours.
 * Rejects as {@link openTakeover} does when it cannot be loaded.
 * @returns false when the table was right
 */
export async function repairTakeover({ place, inode, port, hasDockerResolver }: Takeover): Promise<boolean> {
  const path = pathOf(place);
  if (await isLoaded(path, inode, port, hasDockerResolver)) return false;
  const replaces = await readRules(path, inode, hasTakeoverTable);
  await changeRules(path, inode, takeoverTable(port, replaces, hasDockerResolver));
  return true;
}

async function isLoaded(path: string, inode: number, port: number, lapses: boolean): Promise<boolean> {
  try {
    const loaded = await takeoverTableOf(path, inode);
    return loaded?.port === port && loaded.current && loaded.lapses === lapses;
  } catch (error) {
    // Somebody has made far more of our table than it is, or goes on changing it.
    if (errorCode(error) === "RULES_TOO_MANY" || errorCode(error) === "RULES_CHANGING") return false;
    throw error;
  }
}

/** New queries go to Docker's resolver from now on, if it is there; replies on their way still pass. Rejects with RULES_BUSY. */
export async function disarmTakeover({ place, inode, hasDockerResolver }: Takeover): Promise<void> {
  if (!hasDockerResolver) return;
  try {
    await changeRules(pathOf(place), inode, disarm());
  } catch (error) {
    // Not armed, or already lapsed: Docker's resolver answers, which is what is wanted.
    if (!(error instanceof NetlinkError) || error.code !== "ENOENT") throw error;
  }
}

/** Removes the table: the namespace is as it was. Rejects with RULES_BUSY. */
export function removeTakeover({ place, inode }: Takeover): Promise<void> {
  return changeRules(pathOf(place), inode, removeTable());
}

/** Closes every descriptor of a takeover. */
export function closeTakeover({ end, udp, tcp }: Takeover): void {
  for (const fd of [end, udp, tcp]) closeDescriptor(fd);
}

export interface ForwardingSockets {
  readonly udp: number[];
  readonly tcp: number[];
}

/** Sockets in the namespace to ask upstreams from. The caller owns them. */
export function openForwardingSockets(
  { place, inode }: Pick<Takeover, "place" | "inode">,
  family: Family,
  udp: number,
  tcp: number,
): ForwardingSockets {
  return insideNamespace(pathOf(place), inode, () => openingAll((open) => forwardingSockets(open, family, udp, tcp)));
}

/**
 * What a server needs in the namespace for itself alone: sockets to ask upstreams from (IPv4), and the marked one that
 * reaches Docker's resolver, where that is; two servers with one of these would take each other's replies. The caller owns them.
 */
export function openServerSockets(
  { place, inode, hasDockerResolver }: Pick<Takeover, "place" | "inode" | "hasDockerResolver">,
  udp: number,
  tcp: number,
): ForwardingSockets & { dockerResolver: number | undefined } {
  return insideNamespace(pathOf(place), inode, () =>
    openingAll((open) => {
      const dockerResolver = hasDockerResolver ? open(udpSocket) : undefined;
      if (dockerResolver !== undefined) setMark(dockerResolver, DOCKER_RESOLVER_MARK);
      return { dockerResolver, ...forwardingSockets(open, "ipv4", udp, tcp) };
    }),
  );
}

type Open = (make: () => number) => number;

function forwardingSockets(open: Open, family: Family, udp: number, tcp: number): ForwardingSockets {
  return {
    udp: Array.from({ length: udp }, () => open(() => udpSocket(family))),
    tcp: Array.from({ length: tcp }, () => open(() => outgoingSocket(family))),
  };
}

/**
 * Looks at the namespace's rules, and opens the listeners unless something is against it.
 * @returns with a connection to change its rules, which is the caller's to close, beside the event loop
 */
function openInside(
  place: NamespacePlace,
  open: Open,
): { nfnetlink: Nfnetlink } & ({ refusal: Error } | (Pick<Takeover, "udp" | "tcp" | "port"> & { replaces: boolean })) {
  const nfnetlink = new Nfnetlink();
  try {
    const rules = new Ruleset(nfnetlink);
    requireNoRedirect(rules, place);
    return { nfnetlink, replaces: hasTakeoverTable(rules), ...bindListeners(open) };
  } catch (error) {
    return { nfnetlink, refusal: error as Error };
  }
}

/** Throws FOREIGN_DNS_RULES, RULES_TOO_MANY, RULES_CHANGING. */
function requireNoRedirect(rules: Ruleset, place: NamespacePlace): void {
  requireNone(foreignDnsRule(rules), place);
}

function requireNone(rule: string | undefined, place: NamespacePlace): void {
  if (rule !== undefined)
    throw new PontoonError(
      "FOREIGN_DNS_RULES",
      describePlace(place),
      `the container redirects DNS with rules of its own (${rule}); left to them`,
    );
}

/**
 * Looks once more whether the namespace redirects DNS itself. Rejects with FOREIGN_DNS_RULES when it does by now, RULES_TOO_MANY or
 * RULES_CHANGING when that cannot be found out, RULES_BUSY when its rules are locked.
 */
export async function requireTakeable({ place, inode }: Takeover): Promise<void> {
  await readRules(pathOf(place), inode, (rules) => requireNoRedirect(rules, place));
  requireNone(await foreignLegacyRule(pathOf(place), inode), place);
}

/** The rules of the namespace of which nobody tells when they change. Throws when it is gone. The caller closes it. */
export function legacyRulesOf(place: NamespacePlace): LegacyRules {
  const path = pathOf(place);
  return new LegacyRules(path, namespaceInode(path));
}

/** Runs `work` inside the namespace: see {@link insideNamespace}. */
export function insideTakeover<Result>({ place, inode }: Takeover, work: () => Result): Result {
  return insideNamespace(pathOf(place), inode, work);
}

/** One free port for both UDP and TCP. */
function bindListeners(open: Open): { udp: number; tcp: number; port: number } {
  for (let tried = 1; ; tried++) {
    try {
      const { udp, tcp, port } = openingAll(boundListeners);
      return { udp: open(() => udp), tcp: open(() => tcp), port };
    } catch (error) {
      const isTaken = error instanceof LinuxError && error.code === "EADDRINUSE";
      if (!isTaken || tried === bindTries) throw error;
    }
  }
}

function boundListeners(open: Open): { udp: number; tcp: number; port: number } {
  const udp = open(udpSocket);
  const tcp = open(tcpSocket);
  bindSocket(udp, { ip: RESOLVER_ADDRESS, port: 0 });
  const { port } = localAddress(udp);
  bindSocket(tcp, { ip: RESOLVER_ADDRESS, port });
  listenSocket(tcp, backlog);
  forceBufferSizes(udp, listenerBuffer);
  return { udp, tcp, port };
}
