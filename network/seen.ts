import type { InterfaceAddress, Route } from "../linux/netlink/rtnetlink/addresses.js";
import type { Link } from "../linux/netlink/rtnetlink/links.js";
import type { RoutingRule } from "../linux/netlink/rtnetlink/rules.js";

// What is in the kernel, as far as it was looked at.

/** Of the host's own namespace. */
export interface SeenHost {
  readonly links: ReadonlyMap<string, Link>;
  /** By index of the link; link-local ones, which the kernel makes itself, are left out. */
  readonly addresses: ReadonlyMap<number, readonly InterfaceAddress[]>;
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
  readonly sandboxes: ReadonlyMap<string, SeenSandbox>;
}
