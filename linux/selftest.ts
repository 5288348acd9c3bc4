import { release } from "node:os";
import { encodeAddress } from "./address.js";
import { EPOLLIN } from "./constants.js";
import { sendDatagram } from "./datagram.js";
import { Epoll } from "./epoll.js";
import { LinuxError } from "./ffi.js";
import { layout } from "./layout.js";
import { MessageBatch } from "./mmsg.js";
import { withNfnetlink } from "./netlink/nfnetlink.js";
import { Ruleset } from "./netlink/nftables/ruleset.js";
import { openPidfd } from "./pidfd.js";
import { isFilterAvailable } from "./seccomp.js";
import { bindSocket, closeDescriptor, localAddress, udpSocket } from "./socket.js";

const oldestKernel = [5, 10] as const;

/**
 * Checks at the start what everything else relies on: that the struct layouts are this machine's. A datagram goes
 * through epoll, recvmmsg and sendmmsg and must come back with the right lengths, ports and tokens.
 * Throws with the name of what is wrong.
 */
export function checkLayouts(): void {
  const epoll = new Epoll();
  const receiver = udpSocket();
  const sender = udpSocket();
  try {
    for (const fd of [receiver, sender]) bindSocket(fd, { ip: "127.0.0.1", port: 0 });
    const token = 0x5a5a5a;
    epoll.add(receiver, EPOLLIN, token);
    const text = Buffer.from("pontoon checks its layouts");
    const from = localAddress(sender).port;
    sendDatagram(sender, text, encodeAddress(localAddress(receiver)));
    expect("epoll_event", epoll.wait(1000) === 1 && epoll.token(0) === token && (epoll.events(0) & EPOLLIN) !== 0);
    const batch = new MessageBatch(4, 64);
    expect("mmsghdr", batch.receive(receiver) === 1 && batch.length(0) === text.length && batch.senderPort(0) === from);
    expect("iovec", batch.bytes.compare(text, 0, text.length, 0, text.length) === 0);
    batch.setLength(0, text.length);
    expect("mmsghdr (sending)", batch.send(receiver, 1) === 1 && new MessageBatch(1, 64).receive(sender) === 1);
  } finally {
    closeDescriptor(receiver);
    closeDescriptor(sender);
    epoll.close();
  }
}

/** One thing pontoon needs of the machine, and what is wrong with it, in one sentence with the remedy. */
export interface KernelFeature {
  readonly name: string;
  readonly problem: string | undefined;
}

/**
 * Everything pontoon needs of the kernel, each tried.
 * @param withRules whether nftables is tried too, which needs root
 */
export function kernelFeatures(withRules = true): KernelFeature[] {
  return [
    { name: `Linux ${release()}`, problem: versionProblem(release()) },
    { name: "pidfd", problem: pidfdProblem() },
    { name: "seccomp", problem: seccompProblem() },
    ...(withRules ? [{ name: "nftables", problem: nftablesProblem() }] : []),
  ];
}

/** What this kernel lacks, in one sentence with the remedy; undefined when nothing is missing. */
export function kernelProblem(): string | undefined {
  return kernelFeatures().find(({ problem }) => problem !== undefined)?.problem;
}

/** @param version as `uname -r` has it */
export function versionProblem(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isTooOld = major < oldestKernel[0] || (major === oldestKernel[0] && minor < oldestKernel[1]);
  return isTooOld ? `Linux ${version} is too old; pontoon needs ${oldestKernel.join(".")} or later` : undefined;
}

function seccompProblem(): string | undefined {
  return isFilterAvailable()
    ? undefined
    : "the kernel has no seccomp filters, without which pontoon-dns does not serve; use a kernel with CONFIG_SECCOMP_FILTER";
}

function pidfdProblem(): string | undefined {
  try {
    closeDescriptor(openPidfd(process.pid));
    return undefined;
  } catch (error) {
    if (error instanceof LinuxError)
      return `the kernel refuses pidfd_open (${error.code}); pontoon cannot follow processes without it`;
    throw error;
  }
}

/** Reading the rules of our own namespace needs what writing those of a container's does. */
function nftablesProblem(): string | undefined {
  try {
    withNfnetlink((nfnetlink) => new Ruleset(nfnetlink).generation);
    return undefined;
  } catch (error) {
    return (
      `nftables does not work here (${(error as Error).message}); ` +
      "load the kernel modules nfnetlink and nf_tables, or run as root with CAP_NET_ADMIN"
    );
  }
}

function expect(what: string, holds: boolean): void {
  if (!holds)
    throw new Error(
      `the layout of ${what} is not what pontoon expects on ${layout.architecture}; please report it with the kernel's version`,
    );
}
