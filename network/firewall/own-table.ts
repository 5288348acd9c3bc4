import { PontoonError } from "../../common/errors.js";
import { NetlinkError, type Nfnetlink } from "../../linux/netlink/nfnetlink.js";
import { TABLE_FLAG } from "../../linux/netlink/nftables/numbers.js";
import { Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import { Transaction, type TableName } from "../../linux/netlink/nftables/transaction.js";
import type { Contents } from "./contents.js";
import { writeDifference } from "./difference.js";
import type { ChainRules } from "./rules.js";
import { sets } from "./tables.js";

/** How a table may be had. A kernel older than 6.9 does not know `persist`, and so may others change the table. */
type Ownership = "owned" | "open";
type Flags = readonly (keyof typeof TABLE_FLAG)[];
const flagsOf: Readonly<Record<Ownership, Flags>> = { owned: ["owner", "persist"], open: [] };
const comment = "pontoon: made anew when it is changed";

/** One of the firewall's nftables tables: made whole, whatever was there, and taken away. */
export class OwnTable {
  #ownership: Ownership | undefined;

  constructor(
    private readonly nfnetlink: Nfnetlink,
    readonly name: TableName,
    private readonly chains: readonly ChainRules[],
    private readonly mayOwn: boolean,
  ) {}

  /** Whether nobody else can change it. */
  get isOwned(): boolean {
    return this.#ownership === "owned";
  }

  /**
   * Makes the table with these contents, in one step for packets, instead of one that is there: an orphan of ours, or
   * one without an owner. Throws FIREWALL_TAKEN when it belongs to another process.
   */
  build(contents: Contents): void {
    // An orphan is adopted by the flags with which it was made; one that never had an owner must be named without.
    const ways: (readonly [present: Ownership, ours: Ownership])[] = [
      ["owned", "owned"],
      ["open", "owned"],
      ["open", "open"],
    ];
    const possible = ways.filter(([, ours]) => ours === "open" || this.mayOwn);
    for (const [index, [present, ours]] of possible.entries())
      try {
        this.#rebuild(present, ours, contents);
        this.#ownership = ours;
        return;
      } catch (error) {
        const isLast = index === possible.length - 1;
        if (!(error instanceof NetlinkError)) throw error;
        if (error.code === "EPERM") throw taken(this.name, error);
        if (isLast || !refusalsOfFlags.has(error.code)) throw error;
      }
  }

  /** Takes the table away, if it is there. */
  remove(): void {
    const { family, table } = this.name;
    const found = new Ruleset(this.nfnetlink).table({ family, table });
    if (!found) return;
    // What was left by an earlier process is adopted first.
    const present = (found.flags & TABLE_FLAG.persist) === 0 ? "open" : "owned";
    try {
      new Transaction()
        .addTable({ ...this.name, flags: flagsOf[present] })
        .deleteTable(this.name)
        .commit(this.nfnetlink);
    } catch (error) {
      throw error instanceof NetlinkError && error.code === "EPERM" ? taken(this.name, error) : error;
    }
  }

  #rebuild(present: Ownership, ours: Ownership, contents: Contents): void {
    const transaction = new Transaction()
      .addTable({ ...this.name, flags: flagsOf[present] })
      .deleteTable(this.name)
      .addTable({ ...this.name, comment, flags: flagsOf[ours] });
    for (const set of sets.values()) if (set.family === this.name.family) transaction.addSet(set);
    for (const { chain, at, comment } of this.chains)
      transaction.addChain({ ...this.name, chain, comment, ...(at && { at }) });
    const added = [...contents]
      .filter(([set]) => sets.get(set)!.family === this.name.family)
      .flatMap(([, entries]) => [...entries.values()]);
    // Elements first: a set that no rule uses yet is filled without more ado.
    writeDifference(transaction, { removed: [], added });
    for (const { chain, rules } of this.chains)
      for (const rule of rules) transaction.addRule({ ...this.name, chain }, rule);
    transaction.commit(this.nfnetlink);
  }
}

/** What kernels say to flags they do not know, or that do not fit the table that is there. */
const refusalsOfFlags = new Set(["EOPNOTSUPP", "ENOTSUP", "EINVAL"]);

function taken({ family, table }: TableName, cause: NetlinkError): PontoonError {
  const subject = `${family} ${table}`;
  return new PontoonError(
    "FIREWALL_TAKEN",
    subject,
    `the nftables table ${subject} belongs to another process, so it cannot be changed; stop the other pontoon of this host`,
    { cause },
  );
}
