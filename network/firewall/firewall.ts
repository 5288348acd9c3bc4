import { Budget } from "../../linux/netlink/budget.js";
import { NetlinkError, type Nfnetlink } from "../../linux/netlink/nfnetlink.js";
import { Ruleset } from "../../linux/netlink/nftables/ruleset.js";
import { Transaction } from "../../linux/netlink/nftables/transaction.js";
import { contentsOf, forwardEntries, type Entry } from "./contents.js";
import { differenceOf, isSame, writeDifference, type Difference } from "./difference.js";
import { OwnTable } from "./own-table.js";
import type { AddressRange } from "./ranges.js";
import { bridgeChains, inetChains, overlayChains } from "./rules.js";
import { holds, readRules } from "./table-check.js";
import { bridgeTable, inetTable, sets, type SetId } from "./tables.js";
import { internalRanges, type FirewallWanted, type KernelForward } from "./wanted.js";

/** What is read of our own tables when they may have been changed: 65,535 ports with sources and more. */
const limits = { bytes: 256 << 20, objects: 1_000_000, time: 20_000 };

/** What is known to be in the kernel. */
interface Applied {
  readonly contents: Map<SetId, Map<string, Entry>>;
  readonly internal: readonly AddressRange[];
  readonly tables: readonly OwnTable[];
}

/** What only tables without an owner need: how they looked when they were made. */
interface Snapshot {
  /** The kernel's count of changes up to which they are known to be untouched. */
  generation: number;
  readonly rules: readonly string[];
}

/** Changes of published ports. One that gets another target or other sources is removed as it was, and added. */
export interface ForwardChanges {
  readonly remove?: readonly KernelForward[];
  readonly add?: readonly KernelForward[];
}

/**
 * The nftables tables of pontoon's networks, in the namespace of the connection it is given, which must stay open: tables
 * belong to it where the kernel has that. All work is done before a call returns, and waits while others change rules.
 */
export class Firewall {
  readonly #ruleset: Ruleset;
  readonly #inet: OwnTable;
  /** The same table, while there are overlay networks. */
  readonly #inetOfOverlays: OwnTable;
  /** There only while a network has `icc` off. */
  readonly #bridge: OwnTable;
  #applied: Applied | undefined;
  #snapshot: Snapshot | undefined;

  /** @param mayOwn false: as on kernels where tables cannot be owned and outlive their owner */
  constructor(
    private readonly nfnetlink: Nfnetlink,
    { mayOwn = true } = {},
  ) {
    this.#ruleset = new Ruleset(nfnetlink);
    this.#inet = new OwnTable(nfnetlink, inetTable, inetChains, mayOwn);
    this.#inetOfOverlays = new OwnTable(nfnetlink, inetTable, [...inetChains, ...overlayChains], mayOwn);
    this.#bridge = new OwnTable(nfnetlink, bridgeTable, bridgeChains, mayOwn);
  }

  /** Whether nobody else can change the tables. If not, they are to be watched: {@link check}. */
  get isOwned(): boolean {
    return this.#applied?.tables.every(({ isOwned }) => isOwned) ?? false;
  }

  /**
   * Makes the tables what is wanted: at first, and after {@link check} has failed, as a whole and in one step for packets;
   * from then on by the differences, and nothing when there are none.
   * Throws FIREWALL_TAKEN, NetlinkError when the kernel refuses, RangeError on what is no address or subnet.
   */
  apply(wanted: FirewallWanted): void {
    const contents = contentsOf(wanted);
    const tables = [
      wanted.overlays.length > 0 ? this.#inetOfOverlays : this.#inet,
      ...(wanted.networks.some(({ icc }) => !icc) ? [this.#bridge] : []),
    ];
    const internal = internalRanges(wanted.networks);
    const seen = this.#applied;
    const areSame = seen?.tables.length === tables.length && tables.every((table) => seen.tables.includes(table));
    if (!areSame) this.#build({ contents, internal, tables });
    else this.#change(differenceOf(seen.contents, contents), { contents, internal, tables });
  }

  /**
   * Changes published ports only, at a cost that does not grow with how many there are. Many at once are cheaper: a removal
   * waits for all processors. Throws as {@link apply} does, and nothing is changed then; an Error before the first `apply`.
   */
  changeForwards({ remove = [], add = [] }: ForwardChanges): void {
    const applied = this.#applied;
    if (!applied) throw new Error("the firewall must be applied before ports are changed");
    const removed = new Set<Entry>();
    const added = new Map<string, Entry>();
    const heldAs = ({ set, id }: Entry) => applied.contents.get(set)?.get(id);
    for (const entry of remove.flatMap((forward) => forwardEntries(forward, applied.internal))) {
      const held = heldAs(entry);
      if (held) removed.add(held);
    }
    for (const entry of add.flatMap((forward) => forwardEntries(forward, applied.internal))) {
      const held = heldAs(entry);
      if (held && isSame(held, entry)) removed.delete(held);
      else if (held) removed.add(held);
      if (!held || !isSame(held, entry)) added.set(`${entry.set} ${entry.id}`, entry);
    }
    this.#change({ removed: [...removed], added: [...added.values()] }, applied);
  }

  /** Takes the tables away, also those an earlier process left. Throws FIREWALL_TAKEN. */
  remove(): void {
    this.#applied = this.#snapshot = undefined;
    this.#inet.remove();
    this.#bridge.remove();
  }

  /**
   * Whether the tables are there as they were applied. If not, the next {@link apply} makes them anew. For tables that are
   * owned this is a question or two; others are read as a whole when rules of this namespace have changed.
   */
  check(): boolean {
    const isWhole = this.#isWhole();
    if (!isWhole) this.#applied = undefined;
    return isWhole;
  }

  #isWhole(): boolean {
    const applied = this.#applied;
    if (!applied) return false;
    if (this.isOwned) return applied.tables.every(({ name }) => this.#ruleset.hasTable(name));
    const { generation } = this.#ruleset;
    if (!this.#snapshot) return false;
    if (this.#snapshot.generation === generation) return true;
    const budget = new Budget("pontoon's own firewall", limits);
    const isWhole = applied.tables.every(
      ({ name }, index) =>
        readRules(this.#ruleset, name, budget) === this.#snapshot!.rules[index] &&
        holds(this.#ruleset, name, applied.contents, budget),
    );
    if (isWhole) this.#snapshot.generation = generation;
    return isWhole;
  }

  #build(wanted: Applied): void {
    this.#applied = this.#snapshot = undefined;
    if (!wanted.tables.includes(this.#bridge)) this.#bridge.remove();
    const before = this.#ruleset.generation;
    for (const table of wanted.tables) table.build(wanted.contents);
    this.#applied = wanted;
    if (this.isOwned) return;
    const budget = new Budget("pontoon's own firewall", limits);
    const rules = wanted.tables.map(({ name }) => readRules(this.#ruleset, name, budget));
    // If others changed something between, it is not known whether these are ours, and the next check fails.
    const { generation } = this.#ruleset;
    if (generation === before + wanted.tables.length) this.#snapshot = { generation, rules };
  }

  #change(difference: Difference, wanted: Applied): void {
    if (difference.removed.length === 0 && difference.added.length === 0) {
      this.#applied = wanted;
      return;
    }
    const before = this.#snapshot && this.#ruleset.generation;
    const transaction = new Transaction();
    writeDifference(transaction, ofTables(difference, wanted.tables));
    try {
      transaction.commit(this.nfnetlink);
    } catch (error) {
      // Somebody has changed a table of ours.
      if (!(error instanceof NetlinkError) || this.isOwned) throw error;
      this.#build({ ...wanted, contents: changed(wanted.contents, difference) });
      return;
    }
    this.#applied = { ...wanted, contents: changed(wanted.contents, difference) };
    const snapshot = this.#snapshot;
    // One more than before: nobody else has changed anything meanwhile.
    if (snapshot && snapshot.generation === before && this.#ruleset.generation === before + 1)
      snapshot.generation = before + 1;
  }
}

/** Only what belongs to tables that are there. */
function ofTables({ removed, added }: Difference, tables: readonly OwnTable[]): Difference {
  const isThere = ({ set }: Entry) => tables.some(({ name }) => name.family === sets.get(set)!.family);
  return { removed: removed.filter(isThere), added: added.filter(isThere) };
}

/** In place: copying would cost as much as there is. */
function changed(contents: Applied["contents"], { removed, added }: Difference): Applied["contents"] {
  for (const { set, id } of removed) contents.get(set)?.delete(id);
  for (const entry of added) {
    const entries = contents.get(entry.set);
    if (entries) entries.set(entry.id, entry);
    else contents.set(entry.set, new Map([[entry.id, entry]]));
  }
  return contents;
}
