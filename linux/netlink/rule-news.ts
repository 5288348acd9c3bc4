import {
  AF_NETLINK,
  EPOLLIN,
  NETLINK_ADD_MEMBERSHIP,
  NETLINK_NO_ENOBUFS,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_NETLINK,
  SOL_SOCKET,
  SO_RCVBUF,
} from "../constants.js";
import { bind, check } from "../ffi.js";
import { anyPort } from "./netlink-socket.js";
import type { Poller, Watch } from "../poller.js";
import { closeDescriptor, closeDescriptorAside, receiveBytes, setOption, WOULD_BLOCK } from "../socket.js";

const c = { socket: bind("int socket(int, int, int)"), bind: bind("int bind(int, void *, int)") };

/** Of what news tells: a netlink protocol, and a group of its multicasts. */
export interface NewsSource {
  readonly protocol: number;
  readonly group: number;
}

/** Rules of nftables (`NETLINK_NETFILTER`, `NFNLGRP_NFTABLES`), those of iptables' nft variant among them, but not of its legacy variant. */
export const ruleChanges: NewsSource = { protocol: 12, group: 7 };
/** Links: that they come, go, go down or up (`NETLINK_ROUTE`, `RTNLGRP_LINK`). */
export const linkChanges: NewsSource = { protocol: 0, group: 1 };
/** IPv6 addresses of links (`NETLINK_ROUTE`, `RTNLGRP_IPV6_IFADDR`). */
export const addressChanges: NewsSource = { protocol: 0, group: 9 };
/** Queueing disciplines and filters of links (`NETLINK_ROUTE`, `RTNLGRP_TC`). */
export const queueChanges: NewsSource = { protocol: 0, group: 4 };
/** Bytes for what waits to be read. It matters only that there is something, so the smallest buffer will do. */
const receiveBuffer = 1;
/** Messages read at a time. If more are made while we read, we are told again. */
const readAtMost = 64;
const scratch = Buffer.from(new ArrayBuffer(64));

/**
 * Tells when nftables rules of a network namespace have changed, or what else a source tells of. Tells once, until it is asked to
 * listen again. Keeps the namespace alive until it is closed.
 */
export class RuleNews {
  readonly #fd: number;
  #watch: Watch | undefined;

  /** Made for the calling thread's network namespace. */
  constructor(
    private readonly poller: Poller,
    private readonly onNews: () => void,
    { protocol, group }: NewsSource = ruleChanges,
  ) {
    this.#fd = check(c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol), "socket", "netlink");
    try {
      setOption(this.#fd, SOL_SOCKET, SO_RCVBUF, receiveBuffer, "SO_RCVBUF");
      setOption(this.#fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1, "NETLINK_NO_ENOBUFS");
      check(c.bind(this.#fd, anyPort, anyPort.length), "bind", "netlink");
      setOption(this.#fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group, "NETLINK_ADD_MEMBERSHIP");
    } catch (error) {
      closeDescriptor(this.#fd);
      throw error;
    }
  }

  /** What has changed so far is known. */
  forget(): void {
    for (let count = 0; count < readAtMost && receiveBytes(this.#fd, scratch) !== WOULD_BLOCK; count++);
  }

  /** Tells of the next change, or of one that came since {@link forget}. */
  listen(): void {
    this.#watch ??= this.poller.watch(this.#fd, EPOLLIN, () => {
      this.#watch?.close();
      this.#watch = undefined;
      this.onNews();
    });
  }

  /** Beside the event loop, since closing waits while somebody changes the rules. Can be called once. */
  async close(): Promise<void> {
    this.#watch?.close();
    await closeDescriptorAside(this.#fd);
  }
}
