import type { InterfaceAddress, Route } from "../../linux/netlink/rtnetlink/addresses.js";
import type { RoutingRule } from "../../linux/netlink/rtnetlink/rules.js";
import type { WantedEndpoint, WantedNetwork, WantedSandbox } from "../wanted.js";

/** A route of a sandbox, through a link that is named. */
export type LinkRoute = Omit<Route, "link">;

/** What a link of a sandbox has. */
export interface InsideParts {
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly LinkRoute[];
  readonly rules: readonly RoutingRule[];
}

/** One thing to be done in the kernel. Each can be done again, and after each the next start can go on. */
export type Step =
  | { readonly kind: "make-namespace"; readonly sandbox: WantedSandbox }
  | { readonly kind: "link-namespace"; readonly sandbox: WantedSandbox }
  /** Of a namespace that was made without pontoon: nobody could be answered at 127.0.0.11 in it. */
  | { readonly kind: "raise-loopback"; readonly sandbox: WantedSandbox }
  | { readonly kind: "remove-namespace"; readonly path: string }
  /** Of endpoints that were taken away by halves. */
  | { readonly kind: "remove-rules"; readonly sandbox: WantedSandbox; readonly rules: readonly RoutingRule[] }
  | { readonly kind: "make-bridge"; readonly network: WantedNetwork }
  /** Its alias, MTU, MAC, IPv6, and that it is up. */
  | { readonly kind: "set-bridge"; readonly network: WantedNetwork }
  | { readonly kind: "add-bridge-address"; readonly bridge: string; readonly address: InterfaceAddress }
  | { readonly kind: "delete-link"; readonly link: string }
  | { readonly kind: "make-veth"; readonly endpoint: WantedEndpoint; readonly sandbox: WantedSandbox }
  /** The sandbox's end gets what it lacks: name, addresses, routes, rules; and is up. */
  | {
      readonly kind: "set-inside";
      readonly endpoint: WantedEndpoint;
      readonly sandbox: WantedSandbox;
      /** Its index, for one that is there already and may have another name; undefined for one that is just made. */
      readonly end: number | undefined;
      readonly remove: InsideParts;
      readonly add: InsideParts;
    }
  /** The host's end becomes a port of its bridge, and is up. */
  | { readonly kind: "attach"; readonly endpoint: WantedEndpoint; readonly bridge: string }
  /** Nothing passes the link any more, its names are free, and it is deleted a little later: that takes the kernel long. */
  | { readonly kind: "retire"; readonly index: number; readonly inside: RetiredEnd | undefined };

/** The end of a link in a sandbox that is to go. */
export interface RetiredEnd {
  readonly path: string;
  readonly inode: number | undefined;
  readonly index: number;
  readonly rules: readonly RoutingRule[];
}

/** Steps for one object. When one fails, those after it are not tried. */
export interface ObjectSteps {
  readonly object: ObjectRef;
  readonly steps: readonly Step[];
}

/** What a step, or a failure, is about. */
export interface ObjectRef {
  readonly kind: "network" | "sandbox" | "endpoint" | "firewall";
  readonly id: string;
}
