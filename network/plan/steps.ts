import type { InterfaceAddress, Route } from "../../linux/netlink/rtnetlink/addresses.js";
import type { TokenBucket } from "../../linux/netlink/rtnetlink/queues.js";
import type { RoutingRule } from "../../linux/netlink/rtnetlink/rules.js";
import type {
  WantedEndpoint,
  WantedHandover,
  WantedLan,
  WantedNetwork,
  WantedOverlay,
  WantedSandbox,
} from "../wanted.js";

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
  /** Of somebody else's, on which containers are to be. */
  | { readonly kind: "raise-bridge"; readonly bridge: string }
  | { readonly kind: "add-bridge-address"; readonly bridge: string; readonly address: InterfaceAddress }
  | { readonly kind: "delete-bridge-address"; readonly bridge: string; readonly address: InterfaceAddress }
  | { readonly kind: "delete-link"; readonly link: string }
  /** The link by which a bridge leads to other hosts. */
  | { readonly kind: "make-vxlan"; readonly network: WantedNetwork; readonly overlay: WantedOverlay }
  /** Its alias, MTU and group; that it is a port of its bridge by which nothing is flooded, and up. */
  | { readonly kind: "set-vxlan"; readonly network: WantedNetwork; readonly overlay: WantedOverlay }
  /** What a network's parent is where it is not there. */
  | { readonly kind: "make-vlan"; readonly parent: string; readonly of: string; readonly id: number }
  /** The host's own link on a parent. */
  | { readonly kind: "make-access"; readonly network: WantedNetwork; readonly lan: WantedLan }
  | { readonly kind: "add-host-route"; readonly link: string; readonly ip: string }
  | { readonly kind: "delete-host-route"; readonly link: string; readonly ip: string }
  /** A sandbox's link on a parent. */
  | {
      readonly kind: "make-child";
      readonly endpoint: WantedEndpoint;
      readonly sandbox: WantedSandbox;
      readonly lan: WantedLan;
    }
  /** One link between two sandboxes. */
  | { readonly kind: "make-pair"; readonly ends: readonly [PairEnd, PairEnd] }
  /** A link on a parent, on the host. */
  | { readonly kind: "make-handover-child"; readonly handover: WantedHandover; readonly lan: WantedLan }
  /** What a driver has made on the host becomes a sandbox's link. */
  | { readonly kind: "take-link"; readonly endpoint: WantedEndpoint; readonly sandbox: WantedSandbox }
  /** And goes back to the host, by the name it had there. */
  | { readonly kind: "give-back"; readonly name: string; readonly inside: RetiredEnd }
  /** One without another end on the host. */
  | { readonly kind: "delete-inside"; readonly inside: RetiredEnd }
  | { readonly kind: "make-veth"; readonly endpoint: WantedEndpoint; readonly sandbox: WantedSandbox }
  /** Both ends on the host. */
  | { readonly kind: "make-handover"; readonly handover: WantedHandover }
  /** The sandbox's end gets what it lacks: name, addresses, routes, rules; and is up. */
  | {
      readonly kind: "set-inside";
      readonly endpoint: WantedEndpoint;
      readonly sandbox: WantedSandbox;
      /** Its index, for one that is there already and may have another name; undefined for one that is just made. */
      readonly end: number | undefined;
      /** Where no other end has it. */
      readonly alias?: string;
      readonly remove: InsideParts;
      readonly add: InsideParts;
    }
  /** The host's end becomes a port of its bridge, and is up. */
  | { readonly kind: "attach"; readonly port: BridgePort; readonly bridge: string }
  /** What a link sends goes at a rate. */
  | { readonly kind: "limit-rate"; readonly link: string; readonly bucket: TokenBucket }
  /** The link by which goes what comes from an endpoint: made where it is not there, and up. */
  | { readonly kind: "make-shaper"; readonly shaper: string; readonly alias: string }
  /** All that comes in at a link goes by a shaper. */
  | { readonly kind: "redirect"; readonly link: string; readonly shaper: string }
  /** It goes on as it comes: nothing would pass when the shaper is gone. */
  | { readonly kind: "end-redirect"; readonly link: string }
  /** A link answers for IPv6 addresses of others, where {@link Step} `add-proxy` has it do so. */
  | { readonly kind: "answer-for-others"; readonly link: string }
  | { readonly kind: "end-answering"; readonly link: string }
  | { readonly kind: "add-proxy"; readonly link: string; readonly ip: string }
  | { readonly kind: "delete-proxy"; readonly link: string; readonly ip: string }
  /** Nothing passes the link any more, its names are free, and it is deleted a little later: that takes the kernel long. */
  | { readonly kind: "retire"; readonly index: number; readonly inside: RetiredEnd | undefined };

/** A sandbox's end of a link between two. */
export interface PairEnd {
  readonly endpoint: WantedEndpoint;
  readonly sandbox: WantedSandbox;
}

/** The host's end of a veth pair, as it is to be in its bridge. */
export interface BridgePort {
  readonly hostLink: string;
  readonly mtu: number;
  readonly group: number;
  readonly alias: string;
}

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
  readonly kind: "network" | "sandbox" | "endpoint" | "tunnel" | "firewall";
  readonly id: string;
}
