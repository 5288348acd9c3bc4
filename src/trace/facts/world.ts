// What is known when a packet's way is followed. Who gathers it decides nothing; what is costly to read is read when it is asked for.
import type { LinkAddress } from "../../../linux/netlink/rtnetlink/address-list.js";
import type { Link } from "../../../linux/netlink/rtnetlink/link-list.js";
import type { FoundRoute, RouteQuestion } from "../../../linux/netlink/rtnetlink/route-lookup.js";
import type { ListeningSocket } from "../../../linux/netlink/sock-diag.js";
import type { KnownFlow } from "../../../linux/netlink/flows.js";
import type { Container, Network } from "../../inventory/types.js";
import type { PortRow } from "../../ports/contract.js";
import type { RuleBook } from "../rules/surroundings.js";

/** A network namespace. */
export interface Place {
  /** As people call it: a container's or sandbox's name, or `host`. */
  readonly name: string;
  /** How it is entered, `/proc/4711/ns/net`; undefined for the host's own. */
  readonly path: string | undefined;
  readonly inode: number;
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  readonly book: RuleBook;
  /** How the kernel would send a packet on. */
  route(question: RouteQuestion): FoundRoute;
  /** Of /proc/sys/net, e.g. `ipv4/ip_forward`; undefined when there is none. */
  setting(name: string): string | undefined;
  /** Sockets that wait for clients at any port. */
  listeners(transport: "tcp" | "udp"): readonly ListeningSocket[];
  /** Flows that the kernel knows to be answered from an address and port. */
  flowsTo(ip: string, transport: "tcp" | "udp", port: number): readonly KnownFlow[];
}

/** A process that holds a socket. */
export interface SocketHolder {
  readonly pid: number;
  readonly command: string;
  readonly args: readonly string[];
}

/** Everything a packet may meet. */
export interface World {
  readonly host: Place;
  readonly containers: readonly Container[];
  readonly networks: readonly Network[];
  readonly ports: readonly PortRow[];
  /** What a running daemon says of itself; undefined without one. */
  readonly daemon: { readonly ports: string; readonly portsDetail: string } | undefined;
  /** The namespace of a running container; undefined when it has none of its own or it cannot be entered. */
  placeOf(container: Container): Place | undefined;
  /** The process that holds a socket; undefined when none is seen. */
  holderOf(socket: ListeningSocket): SocketHolder | undefined;
}

/** Who sends the packet. */
export type Asker =
  | { readonly kind: "container"; readonly container: Container; readonly place: Place }
  | { readonly kind: "host" }
  | { readonly kind: "outside"; readonly name: string; readonly ip: string };

/** What the goal was written as, and what that is to the asker. */
export type Goal =
  | { readonly kind: "address"; readonly ip: string }
  | { readonly kind: "host" }
  /** A name that the asker has resolved. */
  | { readonly kind: "resolved"; readonly name: string; readonly ips: readonly string[]; readonly by: string }
  /** A name that the asker does not resolve; perhaps that of a container all the same. */
  | { readonly kind: "unresolved"; readonly name: string; readonly reason: string; readonly isPolicy: boolean }
  /** A container by its name, for askers who do not resolve such names. */
  | { readonly kind: "container"; readonly container: Container };

export type Transport = "tcp" | "udp" | "icmp";

/** What is to be traced. */
export interface Request {
  /** As they were written. */
  readonly words: { readonly from: string; readonly to: string };
  readonly asker: Asker;
  readonly goal: Goal;
  readonly transport: Transport;
  /** Undefined for `icmp`. */
  readonly port: number | undefined;
}
