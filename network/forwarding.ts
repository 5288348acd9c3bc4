import type { Family } from "../common/address.js";
import { Budget } from "../linux/netlink/budget.js";
import type { Nfnetlink } from "../linux/netlink/nfnetlink.js";
import { Ruleset } from "../linux/netlink/nftables/ruleset.js";
import { accept, drop, meta } from "../linux/netlink/nftables/statements.js";
import { Transaction, type ChainName } from "../linux/netlink/nftables/transaction.js";
import { forward, forwardingLinks, forwards, stopForwarding } from "../linux/network-settings.js";

// A host that is made to forward for networks of ours would be a router between all its links as well. So what passes between
// two links neither of which is a bridge is dropped. The rule is in a table of its own, which is also how a later daemon knows
// that it was pontoon who switched forwarding on: both are gone when the host starts anew.

const chains = {
  ipv4: { family: "ip", table: "pontoon-forwarding", chain: "forward" },
  ipv6: { family: "ip6", table: "pontoon-forwarding", chain: "forward" },
} as const satisfies Record<Family, ChainName>;
const words = { ipv4: "IPv4", ipv6: "IPv6" } as const;
const families = ["ipv4", "ipv6"] as const;
const hook = { type: "filter", hook: "forward", priority: -10 } as const;
const chainComment = "pontoon switched forwarding on, for what passes from and to bridges only";
/** Before the name of a link that forwarded by its own setting, and goes on doing so. */
const exceptionComment = "forwarded before: ";
const limits = { bytes: 1 << 20, objects: 10_000, time: 5000 };

/** Has the host forward for networks that lead out, and undoes that when nobody can need it any more. */
export class Forwarding {
  /** Families that pontoon has switched on, with the links that forwarded before. */
  readonly #ours = new Map<Family, readonly string[]>();
  /** What was told already. */
  readonly #told = new Set<string>();

  /**
   * @param may false: the settings are left alone
   * @param otherBridges names of bridges of the host that are not ours: what passes there may need forwarding by now
   */
  constructor(
    private readonly may: boolean,
    private readonly otherBridges: () => readonly string[],
  ) {}

  /** @returns what was changed, or could not be, in words; once for each. Throws NetlinkError; forwarding is not switched on then. */
  apply(nfnetlink: Nfnetlink, wanted: ReadonlySet<Family>): string[] {
    return families.flatMap((family) => {
      const isThere = this.#find(nfnetlink, family);
      const note = wanted.has(family)
        ? this.#switchOn(nfnetlink, family, isThere)
        : this.#switchOff(nfnetlink, family, isThere);
      return note === undefined ? [] : [note];
    });
  }

  /** Whether the table is there; an earlier daemon's is ours. */
  #find(nfnetlink: Nfnetlink, family: Family): boolean {
    const ruleset = new Ruleset(nfnetlink);
    const isThere = ruleset.hasTable(chains[family]);
    if (isThere && !this.#ours.has(family)) {
      const rules = ruleset.rules(chains[family], new Budget("pontoon's own firewall", limits));
      const comments = rules.map(({ comment }) => comment ?? "").filter((text) => text.startsWith(exceptionComment));
      this.#ours.set(
        family,
        comments.map((text) => text.slice(exceptionComment.length)),
      );
    }
    return isThere;
  }

  /** The rule first: there is no moment without. */
  #switchOn(nfnetlink: Nfnetlink, family: Family, isThere: boolean): string | undefined {
    const isOn = forwards(family);
    if (!isOn && !this.may)
      return this.#once(
        `forwarding of ${words[family]} packets is off, and stays so, as configured: networks do not lead out of the host`,
      );
    const isOurs = this.#ours.has(family);
    if (!isThere && (isOurs || !isOn)) this.#addTable(nfnetlink, family);
    if (isOn) return undefined;
    forward(family);
    return (
      `forwarding of ${words[family]} packets is on now: networks lead out of the host; ` +
      "between links that are not bridges nothing passes"
    );
  }

  #addTable(nfnetlink: Nfnetlink, family: Family): void {
    const exceptions = this.#ours.get(family) ?? forwardingLinks(family);
    const chain = chains[family];
    const transaction = new Transaction()
      .addTable({ ...chain, comment: chainComment })
      .addChain({ ...chain, at: hook, comment: chainComment });
    for (const link of exceptions)
      transaction.addRule(chain, [meta.iifname.is(link), accept], `${exceptionComment}${link}`);
    transaction.addRule(chain, [meta.iifkind.isNot("bridge"), meta.oifkind.isNot("bridge"), drop]);
    transaction.commit(nfnetlink);
    this.#ours.set(family, exceptions);
  }

  /**
   * Nothing has passed between links that are not bridges, so only who has bridges can have come to need it. Where somebody
   * has, or links forwarded before by their own setting, which the kernel forgets, forwarding and the rule stay.
   */
  #switchOff(nfnetlink: Nfnetlink, family: Family, isThere: boolean): string | undefined {
    const exceptions = this.#ours.get(family);
    if (!exceptions) return undefined;
    const isOn = forwards(family);
    const users = [...this.otherBridges(), ...exceptions];
    if (isOn && users.length > 0) {
      if (!isThere) this.#addTable(nfnetlink, family);
      return this.#once(`forwarding of ${words[family]} packets stays on: ${users.join(", ")} may need it`);
    }
    if (isOn) stopForwarding(family);
    if (isThere) new Transaction().deleteTable(chains[family]).commit(nfnetlink);
    this.#ours.delete(family);
    this.#told.clear();
    return isOn ? `forwarding of ${words[family]} packets is off again: no network leads out of the host` : undefined;
  }

  #once(note: string): string | undefined {
    if (this.#told.has(note)) return undefined;
    this.#told.add(note);
    return note;
  }
}
