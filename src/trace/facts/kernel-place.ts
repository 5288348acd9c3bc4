import { readFileSync } from "node:fs";
import { insideNamespace, namespaceInode } from "../../../linux/netns.js";
import { Budget, type Limits } from "../../../linux/netlink/budget.js";
import { flowsTo, type KnownFlow } from "../../../linux/netlink/flows.js";
import { NetlinkError, Nfnetlink } from "../../../linux/netlink/nfnetlink.js";
import { addressesOf, type LinkAddress } from "../../../linux/netlink/rtnetlink/address-list.js";
import { linksOf, type Link } from "../../../linux/netlink/rtnetlink/link-list.js";
import { routeFor, type FoundRoute, type RouteQuestion } from "../../../linux/netlink/rtnetlink/route-lookup.js";
import { Rtnetlink } from "../../../linux/netlink/rtnetlink/rtnetlink.js";
import { listeningSockets, type ListeningSocket } from "../../../linux/netlink/sock-diag.js";
import { PontoonError } from "../../../common/errors.js";
import { KernelRules } from "./kernel-rules.js";
import type { Place } from "./world.js";

/** What is read of one namespace's rules and flows: a host has tens of thousands of them at most. */
const limits: Limits = { bytes: 64 << 20, objects: 400_000, time: 5000 };

/** A network namespace as the kernel tells of it. Its sockets stay in it; nothing else does. */
export class KernelPlace implements Place {
  readonly inode: number;
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  readonly book: KernelRules;
  readonly #rtnetlink: Rtnetlink;
  readonly #nfnetlink: Nfnetlink;
  readonly #listeners = new Map<string, readonly ListeningSocket[]>();

  /**
   * Throws a LinuxError, or what open(2) says, when it cannot be entered.
   * @param path undefined for the namespace of this process
   */
  constructor(
    readonly name: string,
    readonly path: string | undefined,
  ) {
    this.inode = namespaceInode(path ?? "/proc/self/ns/net");
    const opened = this.#inside(() => ({ rtnetlink: new Rtnetlink(), nfnetlink: new Nfnetlink() }));
    this.#rtnetlink = opened.rtnetlink;
    this.#nfnetlink = opened.nfnetlink;
    this.links = linksOf(this.#rtnetlink);
    this.addresses = addressesOf(this.#rtnetlink);
    this.book = new KernelRules(this.#nfnetlink, this.#budget(), (work) => this.#inside(work));
  }

  route(question: RouteQuestion): FoundRoute {
    return routeFor(this.#rtnetlink, question);
  }

  setting(name: string): string | undefined {
    return this.#inside(() => {
      try {
        return readFileSync(`/proc/sys/net/${name}`, "latin1").trim();
      } catch {
        return undefined;
      }
    });
  }

  listeners(transport: "tcp" | "udp"): readonly ListeningSocket[] {
    const known = this.#listeners.get(transport);
    if (known) return known;
    const found = this.#inside(() => listeningSockets(transport));
    this.#listeners.set(transport, found);
    return found;
  }

  flowsTo(ip: string, transport: "tcp" | "udp", port: number): readonly KnownFlow[] {
    try {
      return flowsTo(this.#nfnetlink, { ip, at: { transport, port } }, this.#budget());
    } catch (error) {
      // A kernel without connection tracking, or too many to be read: then nothing is said of them.
      if (error instanceof NetlinkError || error instanceof PontoonError) return [];
      throw error;
    }
  }

  #inside<Result>(work: () => Result): Result {
    return this.path === undefined ? work() : insideNamespace(this.path, this.inode, work);
  }

  #budget(): Budget {
    return new Budget(this.name, limits);
  }
}
