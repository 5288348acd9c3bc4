import { BRIDGE_MARK, RESOLVER_ADDRESS } from "../../dns/protocol.js";
import { errorCode, PontoonError } from "../errors.js";
import { isProcessOf } from "./container-process.js";
import { LinuxError } from "../linux/ffi.js";
import { insideNamespace, namespaceInode, ownNamespacePath } from "../linux/netns.js";
import { NetlinkError, Nfnetlink } from "../linux/netlink/nfnetlink.js";
import { Ruleset } from "../linux/netlink/nftables/ruleset.js";
import { openPidfd, pidOfPidfd } from "../linux/pidfd.js";
import { bindSocket, closeDescriptor, forceBufferSizes, listenSocket, localAddress, setMark, tcpSocket, udpSocket } from "../linux/socket.js";
import { applyAside, changeRules, foreignDnsRule, patiently, readRules, takeoverOf as takeoverTableOf } from "./namespace-rules.js";
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
 */
export async function openTakeover(pid: number, container: string): Promise<Takeover> {
  const opened: number[] = [];
  const keep = (fd: number) => {
    opened.push(fd);
    return fd;
  };
  try {
    const pidfd = keep(openPidfd(pid));
    if (!isProcessOf(pid, container))
      throw new PontoonError("CONTAINER_ELSEWHERE", `process ${pid}`, `process ${pid} of this machine is not in the container: its dockerd runs on another machine, or in a container; run pontoon beside it`);
    // The pid cannot be reused while the pidfd says it lives; the inode is checked again inside.
    const inode = namespaceInode(namespaceOf(pid));
    if (inode === namespaceInode(ownNamespacePath))
      throw new PontoonError("HOST_NAMESPACE", `process ${pid}`, `process ${pid} lives in the host's own network namespace`);
    const { nfnetlink, ...inside } = insideNamespace(namespaceOf(pid), inode, () => openInside(pid, keep));
    if ("refusal" in inside) {
      await patiently(nfnetlink.closeAside());
      throw inside.refusal;
    }
    const { replaces, ...listeners } = inside;
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
  const path = namespaceOf(pid);
  if (await isLoaded(path, inode, port)) return false;
  const replaces = await readRules(path, inode, hasTakeoverTable);
  await changeRules(path, inode, takeoverTable(port, replaces));
  return true;
}

async function isLoaded(path: string, inode: number, port: number): Promise<boolean> {
  try {
    return (await takeoverTableOf(path, inode))?.port === port;
  } catch (error) {
    // Somebody has made far more of our table than it is, or goes on changing it.
    if (errorCode(error) === "RULES_TOO_MANY" || errorCode(error) === "RULES_CHANGING") return false;
    throw error;
  }
}

/** New queries go to Docker's resolver from now on; replies on their way still pass. Rejects with RULES_BUSY. */
export async function disarmTakeover({ pid, inode }: Takeover): Promise<void> {
  try {
    await changeRules(namespaceOf(pid), inode, disarm());
  } catch (error) {
    // Not armed, or already lapsed: Docker's resolver answers, which is what is wanted.
    if (!(error instanceof NetlinkError) || error.code !== "ENOENT") throw error;
  }
}

/** Removes the table: the namespace is as it was. Rejects with RULES_BUSY. */
export function removeTakeover({ pid, inode }: Takeover): Promise<void> {
  return changeRules(namespaceOf(pid), inode, removeTable());
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
export function openForwardingSockets({ pid, inode }: Pick<Takeover, "pid" | "inode">, family: "ipv4" | "ipv6", udp: number, tcp: number): ForwardingSockets {
  return insideNamespace(namespaceOf(pid), inode, () => forwardingSockets(family, udp, tcp));
}

/**
 * What a server needs in the namespace for itself alone: sockets to ask upstreams from (IPv4), and the marked one that
 * reaches Docker's resolver; two servers with one of these would take each other's replies. The caller owns them.
 */
export function openServerSockets({ pid, inode }: Pick<Takeover, "pid" | "inode">, udp: number, tcp: number): ForwardingSockets & { bridge: number } {
  return insideNamespace(namespaceOf(pid), inode, () => {
    const bridge = udpSocket();
    setMark(bridge, BRIDGE_MARK);
    return { bridge, ...forwardingSockets("ipv4", udp, tcp) };
  });
}

function forwardingSockets(family: "ipv4" | "ipv6", udp: number, tcp: number): ForwardingSockets {
  return { udp: Array.from({ length: udp }, () => udpSocket(family)), tcp: Array.from({ length: tcp }, () => tcpSocket(family)) };
}

function namespaceOf(pid: number): string {
  return `/proc/${pid}/ns/net`;
}

/**
 * Looks at the namespace's rules, and opens the listeners unless something is against it.
 * @returns with a connection to change its rules, which is the caller's to close, beside the event loop
 */
function openInside(pid: number, keep: (fd: number) => number): { nfnetlink: Nfnetlink } & ({ refusal: Error } | (Pick<Takeover, "udp" | "tcp" | "port"> & { replaces: boolean })) {
  const nfnetlink = new Nfnetlink();
  try {
    const rules = new Ruleset(nfnetlink);
    const rule = foreignDnsRule(rules);
    if (rule !== undefined)
      throw new PontoonError("FOREIGN_DNS_RULES", `process ${pid}`, `the container redirects DNS with rules of its own (${rule}); left to them`);
    return { nfnetlink, replaces: hasTakeoverTable(rules), ...bindListeners(keep) };
  } catch (error) {
    return { nfnetlink, refusal: error as Error };
  }
}

/** One free port for both UDP and TCP. */
function bindListeners(keep: (fd: number) => number): { udp: number; tcp: number; port: number } {
  for (let tried = 1; ; tried++) {
    const udp = udpSocket();
    const tcp = tcpSocket();
    try {
      bindSocket(udp, { ip: RESOLVER_ADDRESS, port: 0 });
      const { port } = localAddress(udp);
      bindSocket(tcp, { ip: RESOLVER_ADDRESS, port });
      listenSocket(tcp, backlog);
      forceBufferSizes(udp, listenerBuffer);
      return { udp: keep(udp), tcp: keep(tcp), port };
    } catch (error) {
      closeDescriptor(udp);
      closeDescriptor(tcp);
      const isTaken = error instanceof LinuxError && error.code === "EADDRINUSE";
      if (!isTaken || tried === bindTries) throw error;
    }
  }
}

/**
 * A takeover made of the pidfd and the listeners that a server held for an earlier daemon.
 * @returns undefined when the process is gone
 */
export function takeoverOf(port: number, descriptors: readonly number[]): Takeover | undefined {
  const [pidfd, udp, tcp] = descriptors;
  if (pidfd === undefined || udp === undefined || tcp === undefined) return undefined;
  const pid = pidOfPidfd(pidfd);
  if (pid <= 0) return undefined;
  try {
    return { pid, port, pidfd, udp, tcp, inode: namespaceInode(namespaceOf(pid)) };
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ESRCH") return undefined; // it has just ended
    throw error;
  }
}
