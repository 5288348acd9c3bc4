import type { ElementInfo, SetInfo } from "../../../linux/netlink/nftables/ruleset.js";
import type { SetName } from "../../../linux/netlink/nftables/transaction.js";
import type { Chain, Rule } from "../../../linux/netlink/nftables/ruleset.js";
import type { ChainName } from "../../../linux/netlink/nftables/transaction.js";

/** A rule, and its owner's own words for it where those are known. */
export interface BookRule extends Rule {
  readonly text?: string;
}

/** The rules of a network namespace: nftables', and those of iptables' legacy variant told in its words. */
export interface RuleBook {
  readonly chains: readonly Chain[];
  rules(chain: ChainName): readonly BookRule[];
  set(name: SetName): SetInfo | undefined;
  /** The element that holds a key, or is for every other key. */
  element(name: SetName, key: Buffer): ElementInfo | undefined;
}

export type AddressKind = "local" | "unicast" | "broadcast" | "multicast";

/** What rules ask for besides the packet. */
export interface Surroundings {
  /** What an address is to this namespace. */
  kindOf(ip: string): AddressKind;
  /** Index of the link by which an address would be reached; undefined when it would not. */
  linkTo(ip: string): number | undefined;
  /** The first address of a link, of the packet's family; what a masquerade gives it. */
  addressOf(link: number | undefined): string | undefined;
}
