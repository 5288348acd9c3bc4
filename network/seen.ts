import type { InterfaceAddress, Route } from "../linux/netlink/rtnetlink/addresses.js";
import type { Link } from "../linux/netlink/rtnetlink/links.js";
import type { NeighbourProxy } from "../linux/netlink/rtnetlink/neighbours.js";
import type { LinkQueue } from "../linux/netlink/rtnetlink/queues.js";
import type { RoutingRule } from "../linux/netlink/rtnetlink/rules.js";

// What is in the kernel, as far as it was looked at.

/** Of the host's own namespace. */
export interface SeenHost {
  readonly links: ReadonlyMap<string, Link>;
  /** By index of the link; link-local ones, which the kernel makes itself, are left out. */
  readonly addresses: ReadonlyMap<number, readonly InterfaceAddress[]>;
  /** Looked at where the host has a link on a LAN for its endpoints; empty elsewhere. */
  readonly routes: readonly Route[];
  /** By index of the link; of links of endpoints whose rate is limited, and empty elsewhere. */
  readonly queues: ReadonlyMap<number, LinkQueue>;
  /** For which addresses links answer; looked at where a network has one do so, and empty elsewhere. */
  readonly proxies: readonly NeighbourProxy[];
  /** Names of links that answer for others at all, of those that networks have do so. */
  readonly answering: ReadonlySet<string>;
}

/** Of a sandbox's namespace. */
export type SeenSandbox =
  /** Nothing can be opened there. */
  | { readonly kind: "gone" }
  /** Another namespace than the one that is meant. */
  | { readonly kind: "other"; readonly inode: number }
  | ({ readonly kind: "there"; readonly inode: number } & SeenInside);

export interface SeenInside {
  readonly links: readonly Link[];
  /** As {@link SeenHost.addresses}. */
  readonly addresses: ReadonlyMap<number, readonly InterfaceAddress[]>;
  readonly routes: readonly Route[];
  readonly rules: readonly RoutingRule[];
}

export interface Seen {
  readonly host: SeenHost;
  /** Ids of handovers on LANs whose link the engine has put into its container. */
  readonly taken: ReadonlySet<string>;
  readonly sandboxes: ReadonlyMap<string, SeenSandbox>;
}
