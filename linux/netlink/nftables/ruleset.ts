import { Attributes } from "../attributes.js";
import type { Budget } from "../budget.js";
import type { Nfnetlink, Query } from "../nfnetlink.js";
import { readData, readExpressions, writeData, type Data, type Expression } from "./expressions.js";
import {
  CHAIN,
  CHAIN_HOOK,
  ELEMENT,
  ELEMENT_FLAG,
  ELEMENTS,
  FAMILY,
  GENERATION_ID,
  LIST_ELEMENT,
  MESSAGE,
  NFNL_SUBSYS_NFTABLES,
  RULE,
  SET,
  TABLE,
  USER_DATA,
  VERDICT,
  type Family,
} from "./numbers.js";
import type { ChainName, SetName, TableName } from "./transaction.js";
import { commentIn } from "./user-data.js";

// Names are as they are in the kernel, one character for each byte: whoever made the rules chose them.

export interface TableInfo {
  /** Bits of `TABLE_FLAG`. */
  readonly flags: number;
  /** Tells it from another of the same name that comes in its place. */
  readonly handle: number | undefined;
}

export interface Chain extends ChainName {
  /** Undefined for one that is only jumped to. */
  readonly at: { readonly type: string; readonly hook: number; readonly priority: number } | undefined;
  /** What becomes of a packet that no rule decides on; undefined for a chain that is only jumped to. */
  readonly policy?: "accept" | "drop" | undefined;
}

export interface Rule {
  readonly handle: number;
  readonly expressions: readonly Expression[];
  readonly comment: string | undefined;
}

export interface SetInfo extends SetName {
  readonly flags: number;
  readonly keyLength: number;
  readonly timeout: number | undefined;
  readonly comment: string | undefined;
}

export interface ElementInfo {
  readonly key: Buffer | undefined;
  readonly keyEnd: Buffer | undefined;
  readonly data: Data | undefined;
  readonly comment: string | undefined;
  /** It is for every key that no other element holds. */
  readonly isCatchAll: boolean;
  /** It is the end of the range that an earlier element began. */
  readonly endsRange: boolean;
  /** ms that are left; undefined for one that does not expire. */
  readonly expires: number | undefined;
}

/**
 * The rules of a network namespace, asked for piece by piece and only as far as one needs them: others may have made as
 * many as they like, in forms that are not known here. What is not known is passed over. Lists are bounded by the budget
 * given; see {@link Nfnetlink.list} for what is thrown.
 */
export class Ruleset {
  constructor(private readonly nfnetlink: Nfnetlink) {}

  /** A number that changes with the rules. */
  get generation(): number {
    const query = {
      type: typeOf(MESSAGE.getGeneration),
      family: 0,
      subject: "list generation",
      write: () => undefined,
    };
    return this.nfnetlink.get(query, (payload) => new Attributes(payload).u32(GENERATION_ID)) ?? 0;
  }

  hasTable(name: TableName): boolean {
    return this.table(name) !== undefined;
  }

  /** @returns undefined when there is no such table */
  table(name: TableName): TableInfo | undefined {
    return this.nfnetlink.get(
      query(MESSAGE.getTable, name, `list table ${name.family} ${name.table}`, (writer) =>
        writer.text(TABLE.name, name.table),
      ),
      (payload) => {
        const attributes = new Attributes(payload);
        return { flags: attributes.u32(TABLE.flags) ?? 0, handle: attributes.u64(TABLE.handle) };
      },
    );
  }

  /** Chains of all tables of one family. */
  chains(family: Family, budget: Budget): Chain[] {
    const request: Query = {
      type: typeOf(MESSAGE.getChain),
      family: FAMILY[family],
      subject: `list chains ${family}`,
      write: () => undefined,
    };
    return this.nfnetlink
      .list(request, budget, (payload) => readChain(family, new Attributes(payload)))
      .filter((chain) => chain !== undefined);
  }

  /** The rules of one chain, in order; none when there is no such chain. */
  rules(name: ChainName, budget: Budget): Rule[] {
    const request = query(MESSAGE.getRule, name, `list chain ${name.family} ${name.table} ${name.chain}`, (writer) => {
      writer.text(RULE.table, name.table);
      writer.text(RULE.chain, name.chain);
    });
    // A kernel without this filter lists the rules of other chains, too.
    const all = this.nfnetlink.list(request, budget, (payload) => {
      const attributes = new Attributes(payload);
      return attributes.text(RULE.table) === name.table && attributes.text(RULE.chain) === name.chain
        ? readRule(attributes)
        : undefined;
    });
    return all.filter((rule) => rule !== undefined);
  }

  /** Whether the rule is there, which costs little however many there are. */
  hasRule(name: ChainName, handle: number): boolean {
    const request = query(MESSAGE.getRule, name, `list rule ${name.family} ${name.table} ${name.chain}`, (writer) => {
      writer.text(RULE.table, name.table);
      writer.text(RULE.chain, name.chain);
      writer.u64(RULE.handle, handle);
    });
    return this.nfnetlink.get(request, () => true) ?? false;
  }

  /** @returns undefined when there is no such set or map */
  set(name: SetName): SetInfo | undefined {
    const request = query(MESSAGE.getSet, name, `list set ${name.family} ${name.table} ${name.set}`, (writer) => {
      writer.text(SET.table, name.table);
      writer.text(SET.name, name.set);
    });
    return this.nfnetlink.get(request, (payload) => {
      const attributes = new Attributes(payload);
      return {
        ...name,
        flags: attributes.u32(SET.flags) ?? 0,
        keyLength: attributes.u32(SET.keyLength) ?? 0,
        timeout: attributes.u64(SET.timeout),
        comment: commentIn(attributes.raw(SET.userData), USER_DATA.setComment),
      };
    });
  }

  /** All of a set or map; none when there is no such set. */
  elements(name: SetName, budget: Budget): ElementInfo[] {
    const request = query(
      MESSAGE.getElement,
      name,
      `list elements of ${name.family} ${name.table} ${name.set}`,
      (writer) => {
        writer.text(ELEMENTS.table, name.table);
        writer.text(ELEMENTS.set, name.set);
      },
    );
    return this.nfnetlink
      .list(request, budget, (payload) => {
        const found = elementsIn(payload);
        budget.spend(0, found.length);
        return found;
      })
      .flat();
  }

  /** The element that holds a key, as the kernel looks it up, however many there are. Undefined when none does. */
  element(name: SetName, key: Buffer): ElementInfo | undefined {
    const request = query(
      MESSAGE.getElement,
      name,
      `get element ${name.family} ${name.table} ${name.set}`,
      (writer) => {
        writer.text(ELEMENTS.table, name.table);
        writer.text(ELEMENTS.set, name.set);
        writer.nest(ELEMENTS.elements, () =>
          writer.nest(LIST_ELEMENT, () => writeData(writer, ELEMENT.key, { bytes: key })),
        );
      },
    );
    return this.nfnetlink.get(request, (payload) => elementsIn(payload)[0]);
  }
}

function typeOf(message: number): number {
  return (NFNL_SUBSYS_NFTABLES << 8) | message;
}

function query(message: number, { family }: TableName, subject: string, write: Query["write"]): Query {
  return { type: typeOf(message), family: FAMILY[family], subject, write };
}

function readChain(family: Family, attributes: Attributes): Chain | undefined {
  const [table, chain] = [attributes.text(CHAIN.table), attributes.text(CHAIN.name)];
  if (table === undefined || chain === undefined) return undefined;
  const hook = attributes.nested(CHAIN.hook);
  const number = hook?.u32(CHAIN_HOOK.number);
  const priority = hook?.u32(CHAIN_HOOK.priority);
  const at =
    number === undefined || priority === undefined
      ? undefined
      : { type: attributes.text(CHAIN.type) ?? "", hook: number, priority: priority | 0 };
  const policy = at && (attributes.u32(CHAIN.policy) === VERDICT.drop ? "drop" : "accept");
  return { family, table, chain, at, policy };
}

function readRule(attributes: Attributes): Rule {
  const list = attributes.raw(RULE.expressions);
  return {
    handle: attributes.u64(RULE.handle) ?? 0,
    expressions: list ? readExpressions(list) : [],
    comment: commentIn(attributes.raw(RULE.userData), USER_DATA.comment),
  };
}

function elementsIn(payload: Buffer): ElementInfo[] {
  return new Attributes(payload).list(ELEMENTS.elements, LIST_ELEMENT).map((part) => readElement(new Attributes(part)));
}

function readElement(attributes: Attributes): ElementInfo {
  const flags = attributes.u32(ELEMENT.flags) ?? 0;
  return {
    key: bytesOf(readData(attributes.nested(ELEMENT.key))),
    keyEnd: bytesOf(readData(attributes.nested(ELEMENT.keyEnd))),
    data: readData(attributes.nested(ELEMENT.data)),
    comment: commentIn(attributes.raw(ELEMENT.userData), USER_DATA.comment),
    isCatchAll: (flags & ELEMENT_FLAG.catchAll) !== 0,
    endsRange: (flags & ELEMENT_FLAG.intervalEnd) !== 0,
    expires: attributes.u64(ELEMENT.expiration),
  };
}

function bytesOf(data: Data | undefined): Buffer | undefined {
  return data && "bytes" in data ? data.bytes : undefined;
}
