import type { Family } from "../../../common/address.js";
import { DOCKER_RESOLVER_MARK, RESOLVER_ADDRESS } from "../../../dns/protocol.js";
import { errorCode, PontoonError } from "../../../common/errors.js";
import { namespacePath } from "../../../linux/proc.js";
import { isProcessOf } from "./container-process.js";
import { LinuxError } from "../../../linux/ffi.js";
import { insideNamespace, namespaceInode, ownNamespacePath } from "../../../linux/netns.js";
import { NetlinkError, Nfnetlink } from "../../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../../linux/netlink/nftables/ruleset.js";
import { openingAll } from "../../../linux/opening.js";
import { openPidfd, pidOfPidfd } from "../../../linux/pidfd.js";
import { namespaceOfSocket } from "../../../linux/socket-namespace.js";
import { socketKind } from "../../../linux/socket-kind.js";
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
  /** Process whose end is the namespace's end for us. */
  readonly pid: number;
  readonly pidfd: number;
  readonly udp: number;
  readonly tcp: number;
  readonly port: number;
}

/**
 * Opens our sockets in the namespace of a container's first process and loads the takeover table, not armed yet: the
 * server arms it when it is ready. Some 2 ms of the event loop; the kernel's own work is done beside it.
 * Rejects with FOREIGN_DNS_RULES when the namespace redirects DNS itself, RULES_TOO_MANY or RULES_CHANGING when that cannot be
 * found out, RULES_BUSY when the table cannot be loaded for now, CONTAINER_ELSEWHERE when the process is not the container's,
 * ESRCH when there is none.
 * @param container full id
 * @param onNamespace called inside the namespace, before its rules are looked at
 */
export async function openTakeover(
  pid: number,
  container: string,
  onNamespace: () => void = () => undefined,
): Promise<Takeover> {
  const opened: number[] = [];
  const open: Open = (make) => {
    const fd = make();
    opened.push(fd);
    return fd;
  };
  try {
    const pidfd = open(() => openPidfd(pid));
    if (!isProcessOf(pid, container))
      throw new PontoonError(
        "CONTAINER_ELSEWHERE",
        `process ${pid}`,
        `process ${pid} of this machine is not in the container: its dockerd runs on another machine, or in a container; run pontoon beside it`,
      );
    // The pid cannot be reused while the pidfd says it lives; the inode is checked again inside.
    const inode = namespaceInode(namespacePath(pid, "net"));
    if (inode === namespaceInode(ownNamespacePath))
      throw new PontoonError(
        "HOST_NAMESPACE",
        `process ${pid}`,
        `process ${pid} lives in the host's own network namespace`,
      );
    const { nfnetlink, ...inside } = insideNamespace(namespacePath(pid, "net"), inode, () => {
      onNamespace();
      return openInside(pid, open);
    });
    if ("refusal" in inside) {
      await patiently(() => nfnetlink.closeAside());
      throw inside.refusal;
    }
    const { replaces, ...listeners } = inside;
    try {
      requireNone(await foreignLegacyRule(namespacePath(pid, "net"), inode), pid);
    } catch (error) {
      await patiently(() => nfnetlink.closeAside());
      throw error;
    }
    await applyAside(nfnetlink, takeoverTable(listeners.port, replaces));
    return { inode, pid, pidfd, ...listeners };
  } catch (error) {
    opened.forEach(closeDescriptor);
    throw error;
  }
}

/**
 * Loads the table once more, for the same sockets, when somebody has flushed the namespace's rules or changed ours.
 * Rejects as {@link openTakeover} does when it cannot be loaded.
 * @returns false when the table was right
 */
export async function repairTakeover({ pid, inode, port }: Takeover): Promise<boolean> {
  const path = namespacePath(pid, "net");
  if (await isLoaded(path, inode, port)) return false;
  const replaces = await readRules(path, inode, hasTakeoverTable);
  await changeRules(path, inode, takeoverTable(port, replaces));
  return true;
}

async function isLoaded(path: string, inode: number, port: number): Promise<boolean> {
  try {
    const loaded = await takeoverTableOf(path, inode);
    return loaded?.port === port && loaded.current;
  } catch (error) {
    // Somebody has made far more of our table than it is, or goes on changing it.
    if (errorCode(error) === "RULES_TOO_MANY" || errorCode(error) === "RULES_CHANGING") return false;
    throw error;
  }
}

/** New queries go to Docker's resolver from now on; replies on their way still pass. Rejects with RULES_BUSY. */
export async function disarmTakeover({ pid, inode }: Takeover): Promise<void> {
  try {
    await changeRules(namespacePath(pid, "net"), inode, disarm());
  } catch (error) {
    // Not armed, or already lapsed: Docker's resolver answers, which is what is wanted.
    if (!(error instanceof NetlinkError) || error.code !== "ENOENT") throw error;
  }
}

/** Removes the table: the namespace is as it was. Rejects with RULES_BUSY. */
export function removeTakeover({ pid, inode }: Takeover): Promise<void> {
  return changeRules(namespacePath(pid, "net"), inode, removeTable());
}

/** Closes every descriptor of a takeover. */
export function closeTakeover({ pidfd, udp, tcp }: Takeover): void {
  for (const fd of [pidfd, udp, tcp]) closeDescriptor(fd);
}

export interface ForwardingSockets {
  readonly udp: number[];
  readonly tcp: number[];
}

/** Sockets in the namespace to ask upstreams from. The caller owns them. */
export function openForwardingSockets(
  { pid, inode }: Pick<Takeover, "pid" | "inode">,
  family: Family,
  udp: number,
  tcp: number,
): ForwardingSockets {
  return insideNamespace(namespacePath(pid, "net"), inode, () =>
    openingAll((open) => forwardingSockets(open, family, udp, tcp)),
  );
}

/**
 * What a server needs in the namespace for itself alone: sockets to ask upstreams from (IPv4), and the marked one that
 * reaches Docker's resolver; two servers with one of these would take each other's replies. The caller owns them.
 */
export function openServerSockets(
  { pid, inode }: Pick<Takeover, "pid" | "inode">,
  udp: number,
  tcp: number,
): ForwardingSockets & { dockerResolver: number } {
  return insideNamespace(namespacePath(pid, "net"), inode, () =>
    openingAll((open) => {
      const dockerResolver = open(udpSocket);
      setMark(dockerResolver, DOCKER_RESOLVER_MARK);
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
  pid: number,
  open: Open,
): { nfnetlink: Nfnetlink } & ({ refusal: Error } | (Pick<Takeover, "udp" | "tcp" | "port"> & { replaces: boolean })) {
  const nfnetlink = new Nfnetlink();
  try {
    const rules = new Ruleset(nfnetlink);
    requireNoRedirect(rules, pid);
    return { nfnetlink, replaces: hasTakeoverTable(rules), ...bindListeners(open) };
  } catch (error) {
    return { nfnetlink, refusal: error as Error };
  }
}

/** Throws FOREIGN_DNS_RULES, RULES_TOO_MANY, RULES_CHANGING. */
function requireNoRedirect(rules: Ruleset, pid: number): void {
  requireNone(foreignDnsRule(rules), pid);
}

function requireNone(rule: string | undefined, pid: number): void {
  if (rule !== undefined)
    throw new PontoonError(
      "FOREIGN_DNS_RULES",
      `process ${pid}`,
      `the container redirects DNS with rules of its own (${rule}); left to them`,
    );
}

/**
 * Looks once more whether the namespace redirects DNS itself. Rejects with FOREIGN_DNS_RULES when it does by now, RULES_TOO_MANY or
 * RULES_CHANGING when that cannot be found out, RULES_BUSY when its rules are locked.
 */
export async function requireTakeable({ pid, inode }: Takeover): Promise<void> {
  await readRules(namespacePath(pid, "net"), inode, (rules) => requireNoRedirect(rules, pid));
  requireNone(await foreignLegacyRule(namespacePath(pid, "net"), inode), pid);
}

/** The rules of the namespace of which nobody tells when they change. Throws when the process is gone. The caller closes it. */
export function legacyRulesOf(pid: number): LegacyRules {
  const path = namespacePath(pid, "net");
  return new LegacyRules(path, namespaceInode(path));
}

/** Runs `work` inside the namespace: see {@link insideNamespace}. */
export function insideTakeover<Result>({ pid, inode }: Takeover, work: () => Result): Result {
  return insideNamespace(namespacePath(pid, "net"), inode, work);
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

/**
 * A takeover made of the pidfd and the listeners that a server held for an earlier daemon. A server that was broken into
 * could hand back anything, so each is looked at.
 * @returns undefined when the process is gone, or they are not what a takeover of its namespace has
 */
export function takeoverOf(port: number, descriptors: readonly number[]): Takeover | undefined {
  const [pidfd, udp, tcp] = descriptors;
  if (pidfd === undefined || udp === undefined || tcp === undefined || descriptors.length > 3) return undefined;
  try {
    const pid = pidOfPidfd(pidfd);
    if (pid <= 0) return undefined;
    const inode = namespaceInode(namespacePath(pid, "net"));
    const isRight =
      inode !== namespaceInode(ownNamespacePath) &&
      isListener(udp, "datagram", port, inode) &&
      isListener(tcp, "stream", port, inode);
    return isRight ? { pid, port, pidfd, udp, tcp, inode } : undefined;
  } catch {
    return undefined; // it has just ended, or one of them is something else altogether
  }
}

function isListener(fd: number, type: "datagram" | "stream", port: number, inode: number): boolean {
  const kind = socketKind(fd);
  if (kind.family !== "ipv4" || kind.type !== type || kind.listening !== (type === "stream")) return false;
  const bound = localAddress(fd);
  return bound.ip === RESOLVER_ADDRESS && bound.port === port && namespaceOfSocket(fd) === inode;
}
