import { BRIDGE_MARK, RESOLVER_ADDRESS } from "../../dns/protocol.js";
import { errorCode, PontoonError } from "../errors.js";
import { moveDescriptor } from "../linux/descriptors.js";
import { isProcessOf } from "./container-process.js";
import { LinuxError } from "../linux/ffi.js";
import { insideNamespace, namespaceInode, ownNamespacePath } from "../linux/netns.js";
import { runNft } from "../linux/nftables.js";
import { openPidfd, pidOfPidfd } from "../linux/pidfd.js";
import { bindSocket, closeDescriptor, forceBufferSizes, listenSocket, localAddress, setMark, tcpSocket, udpSocket } from "../linux/socket.js";
import { disarm, foreignDnsRule, hasTakeoverTable, removeTable, takeoverTable } from "./takeover-table.js";

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
 * server arms it when it is ready. Synchronous; about 2 ms.
 * Throws FOREIGN_DNS_RULES when the namespace redirects DNS itself, CONTAINER_ELSEWHERE when the process is not the
 * container's, ESRCH when there is none.
 * @param container full id
 */
export function openTakeover(pid: number, container: string): Takeover {
  const pidfd = moveDescriptor(openPidfd(pid));
  try {
    if (!isProcessOf(pid, container))
      throw new PontoonError("CONTAINER_ELSEWHERE", `process ${pid}`, `process ${pid} of this machine is not in the container: its dockerd runs on another machine, or in a container; run pontoon beside it`);
    // The pid cannot be reused while the pidfd says it lives; the inode is checked again inside.
    const inode = namespaceInode(namespaceOf(pid));
    if (inode === namespaceInode(ownNamespacePath))
      throw new PontoonError("HOST_NAMESPACE", `process ${pid}`, `process ${pid} lives in the host's own network namespace`);
    const opened = insideNamespace(namespaceOf(pid), inode, () => openInside(pid));
    return { inode, pid, pidfd, ...opened };
  } catch (error) {
    closeDescriptor(pidfd);
    throw error;
  }
}

/**
 * Loads the table once more, for the same sockets, when somebody has flushed the namespace's rules or changed ours.
 * @returns false when the table was right
 */
export function repairTakeover({ pid, inode, port }: Takeover): boolean {
  return insideNamespace(namespaceOf(pid), inode, () => {
    if (isLoaded(port)) return false;
    runNft(takeoverTable(port));
    return true;
  });
}

function isLoaded(port: number): boolean {
  try {
    return runNft("list table ip pontoon").includes(`udp dport set ${port} `);
  } catch {
    return false; // there is no such table
  }
}

/** New queries go to Docker's resolver from now on; replies on their way still pass. */
export function disarmTakeover({ pid, inode }: Takeover): void {
  insideNamespace(namespaceOf(pid), inode, () => {
    try {
      runNft(disarm);
    } catch {
      // Not armed, or already lapsed: Docker's resolver answers, which is what is wanted.
    }
  });
}

/** Removes the table: the namespace is as it was. */
export function removeTakeover({ pid, inode }: Takeover): void {
  insideNamespace(namespaceOf(pid), inode, () => runNft(removeTable));
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

function openInside(pid: number): Pick<Takeover, "udp" | "tcp" | "port"> {
  const ruleset = runNft("list ruleset ip");
  const rule = foreignDnsRule(ruleset);
  if (rule !== undefined)
    throw new PontoonError("FOREIGN_DNS_RULES", `process ${pid}`, `the container redirects DNS with rules of its own (${rule}); left to them`);
  const opened: number[] = [];
  const keep = (fd: number) => {
    const kept = moveDescriptor(fd);
    opened.push(kept);
    return kept;
  };
  try {
    const { udp, tcp, port } = bindListeners(keep);
    runNft(takeoverTable(port, hasTakeoverTable(ruleset)));
    return { udp, tcp, port };
  } catch (error) {
    opened.forEach(closeDescriptor);
    throw error;
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
