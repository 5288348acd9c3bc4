// What is wanted of the kernel, as plain data. Nothing here knows who wants it, and everything passes from thread to thread as it is.

import type { FirewallNetwork } from "./firewall/wanted.js";
import type { InterfaceAddress } from "../linux/netlink/rtnetlink/addresses.js";

/** A network on this host: a bridge. */
export interface WantedNetwork {
  readonly id: string;
  readonly name: string;
  readonly bridge: string;
  /** The bridge is somebody else's: its addresses, its MTU and its life are not ours. */
  readonly isAdopted: boolean;
  /** Of the bridge itself: the gateways of its subnets. */
  readonly addresses: readonly InterfaceAddress[];
  /** One that stays whatever is plugged in: `02:42:…`. */
  readonly mac: string;
  readonly mtu: number;
  readonly hasIPv6: boolean;
  /** What the host's firewall does for it; undefined for a network without rules. */
  readonly firewall: Omit<FirewallNetwork, "name" | "bridge"> | undefined;
}

/** A network namespace that endpoints are in. */
export interface WantedSandbox {
  readonly id: string;
  readonly name: string;
  /** Where its namespace is opened: a file below /run/netns. */
  readonly path: string;
  /**
   * Of a namespace that is somebody else's: what `path` is a link to, or `path` itself where they gave it the name. Undefined
   * for one of our own, which is made if it is not there.
   */
  readonly target: string | undefined;
  /** Tells the namespace from another that comes to be in its place; undefined for whichever is there. */
  readonly inode: number | undefined;
  /** Whether one that comes to be in its place is meant, too. */
  readonly isReplaceable: boolean;
  /** The sandbox whose namespace it shares: all that is in it is that one's. */
  readonly owner?: string;
  /** It is given its name now: what has that name already is somebody else's. */
  readonly isFirst?: boolean;
}

/** A sandbox's place on a network: a veth pair. */
export interface WantedEndpoint {
  readonly id: string;
  readonly network: string;
  readonly sandbox: string;
  /** The host's end. */
  readonly hostLink: string;
  /** The sandbox's end. */
  readonly ifname: string;
  readonly mac: string;
  readonly mtu: number;
  /** The host's end belongs to this group; 0 for none. */
  readonly group: number;
  readonly addresses: readonly InterfaceAddress[];
  /** Of the network, one for each family in which it leads out. */
  readonly gateways: readonly string[];
  /** Whether the sandbox leaves through it by default, by family. */
  readonly isDefault: { readonly ipv4: boolean; readonly ipv6: boolean };
  /**
   * The routing table for what comes from its addresses, so that replies leave by the network they were asked on; its own within the
   * sandbox. Undefined where there is one way out.
   */
  readonly table: number | undefined;
}

export interface Wanted {
  readonly networks: ReadonlyMap<string, WantedNetwork>;
  readonly sandboxes: ReadonlyMap<string, WantedSandbox>;
  readonly endpoints: ReadonlyMap<string, WantedEndpoint>;
}

/** Routing tables of endpoints are numbered from here on. */
export const firstTable = 1000;

/** How links tell whose they are (`ifalias`). */
export const aliasOf = {
  network: ({ id }: Pick<WantedNetwork, "id">): string => `pontoon network ${id}`,
  endpoint: ({ id }: Pick<WantedEndpoint, "id">): string => `pontoon endpoint ${id}`,
};

/** Whether a link is a bridge that was made for a network. */
export function isOurBridge({ alias }: { readonly alias?: string | undefined }): boolean {
  return alias?.startsWith(aliasOf.network({ id: "" })) === true;
}
