import type { AttributeWriter } from "../attributes.js";
import type { Nfnetlink, Request } from "../nfnetlink.js";
import { writeData, writeExpressions, type Data } from "./expressions.js";
import {
  DATA_TYPE,
  CHAIN,
  CHAIN_HOOK,
  ELEMENT,
  ELEMENT_FLAG,
  ELEMENTS,
  FAMILY,
  HOOK,
  LIST_ELEMENT,
  MESSAGE,
  NFNL_SUBSYS_NFTABLES,
  RULE,
  SET,
  SET_DESCRIPTION,
  SET_FIELD_LENGTH,
  SET_FLAG,
  TABLE,
  TABLE_FLAG,
  USER_DATA,
  VERDICT,
  type Family,
  type Hook,
} from "./numbers.js";
import type { DataType } from "./data-types.js";
import { roundUp, rule, type Statement } from "./fields.js";
import { commentData, hostOrderData } from "./user-data.js";

export interface TableName {
  readonly family: Family;
  readonly table: string;
}

export interface ChainName extends TableName {
  readonly chain: string;
}

export interface SetName extends TableName {
  readonly set: string;
}

export interface NewTable extends TableName {
  readonly comment?: string;
  /** `owner`: gone with this socket, and nobody else may change it; with `persist` it stays, ownerless. */
  readonly flags?: readonly (keyof typeof TABLE_FLAG)[];
}

/** Where packets pass a chain; one without is only jumped to. */
export interface ChainHook {
  readonly type: "filter" | "nat" | "route";
  readonly hook: Hook;
  readonly priority: number;
  readonly policy?: "accept" | "drop";
}

export interface NewChain extends ChainName {
  readonly at?: ChainHook;
  readonly comment?: string;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- types of whatever values: only their numbers and lengths matter here
type AnyType = Pick<DataType<any>, "type" | "length">;

export interface NewSet extends SetName {
  /** Types of its keys, one or a concatenation. */
  readonly key: readonly AnyType[];
  /** Makes it a map: of what, or of verdicts. */
  readonly data?: readonly AnyType[] | "verdict";
  /** Elements may be renewed by rules (`dynamic`), expire (`timeout`), or be ranges (`interval`). */
  readonly flags?: readonly ("dynamic" | "timeout" | "interval" | "constant")[];
  /** Largest number of elements. */
  readonly size?: number;
  /** Timeout of elements that have none of their own, ms. */
  readonly timeout?: number;
  readonly comment?: string;
}

/** An element of a set or map. Keys of a concatenation are filled up to four bytes each ({@link concatenated}). */
export interface Element {
  readonly key: Buffer;
  /** For a range in a concatenation: its end, which belongs to it. */
  readonly keyEnd?: Buffer;
  readonly data?: Data;
  /** ms */
  readonly timeout?: number;
  readonly comment?: string;
  /** The first key behind the range that the element before it began. */
  readonly endsRange?: boolean;
}

const CREATE = 0x400;
const EXCLUSIVE = 0x200;
const APPEND = 0x800;
/** An attribute holds 64 KB; an element with a comment takes some 300 bytes. */
const elementsAtOnce = 200;

/** Changes to the rules, all of which are applied or none. In the order in which they are added. */
export class Transaction {
  readonly #requests: Request[] = [];

  /** Fails with nothing changed when the table is there and `exclusive` is wanted. */
  addTable({ comment, flags = [], ...name }: NewTable, { exclusive = false } = {}): this {
    return this.#add(
      MESSAGE.newTable,
      CREATE | (exclusive ? EXCLUSIVE : 0),
      name,
      `add table ${words(name)}`,
      (writer) => {
        writer.text(TABLE.name, name.table);
        writer.u32(
          TABLE.flags,
          flags.reduce((sum, flag) => sum | TABLE_FLAG[flag], 0),
        );
        if (comment !== undefined) writer.raw(TABLE.userData, commentData(comment, USER_DATA.comment));
      },
    );
  }

  /** Fails with ENOENT when there is no such table: add it before. The kernel waits for all processors, 10 ms and more. */
  deleteTable(name: TableName): this {
    return this.#add(MESSAGE.deleteTable, 0, name, `delete table ${words(name)}`, (writer) =>
      writer.text(TABLE.name, name.table),
    );
  }

  addChain({ at, comment, ...name }: NewChain): this {
    return this.#add(MESSAGE.newChain, CREATE, name, `add chain ${words(name)} ${name.chain}`, (writer) => {
      writer.text(CHAIN.table, name.table);
      writer.text(CHAIN.name, name.chain);
      if (at) writeHook(writer, at);
      if (comment !== undefined) writer.raw(CHAIN.userData, commentData(comment, USER_DATA.comment));
    });
  }

  addSet(set: NewSet): this {
    const { comment, key, data, size, timeout } = set;
    return this.#add(MESSAGE.newSet, CREATE, set, `add set ${words(set)} ${set.set}`, (writer) => {
      writer.text(SET.table, set.table);
      writer.text(SET.name, set.set);
      writer.u32(SET.id, 1); // a number within this transaction, which is not used: its elements name it
      writer.u32(SET.flags, flagsOf(set));
      writer.u32(SET.keyType, typeOf(key));
      writer.u32(SET.keyLength, lengthOf(key));
      if (data !== undefined) {
        writer.u32(SET.dataType, data === "verdict" ? VERDICT_TYPE : typeOf(data));
        writer.u32(SET.dataLength, data === "verdict" ? VERDICT_LENGTH : lengthOf(data));
      }
      if (timeout !== undefined) writer.u64(SET.timeout, timeout);
      const ranges = isConcatenationOfRanges(set) ? key : [];
      if (size !== undefined || ranges.length > 0)
        writer.nest(SET.description, () => writeDescription(writer, ranges, size));
      const userData = [
        // Without, nft shows no names of links.
        ...(key.length === 1 && key[0]!.type === DATA_TYPE.ifname ? [hostOrderData] : []),
        ...(comment === undefined ? [] : [commentData(comment, USER_DATA.setComment)]),
      ];
      if (userData.length > 0) writer.raw(SET.userData, Buffer.concat(userData));
    });
  }

  /** Elements that are there already stay as they are. */
  addElements(set: SetName, elements: readonly Element[]): this {
    return this.#elements(MESSAGE.newElement, CREATE, "add", set, elements);
  }

  /** Fails with ENOENT when one is not there. */
  deleteElements(set: SetName, elements: readonly Element[]): this {
    return this.#elements(MESSAGE.deleteElement, 0, "delete", set, elements);
  }

  /** At the end of the chain. */
  addRule(chain: ChainName, statements: readonly Statement[], comment?: string): this {
    return this.#rule(CREATE | APPEND, "add", chain, statements, comment);
  }

  /** Before all others of the chain. */
  insertRule(chain: ChainName, statements: readonly Statement[], comment?: string): this {
    return this.#rule(CREATE, "insert", chain, statements, comment);
  }

  /** @param handle of one rule; all of the chain without */
  deleteRules(chain: ChainName, handle?: number): this {
    return this.#add(MESSAGE.deleteRule, 0, chain, `delete rule ${words(chain)} ${chain.chain}`, (writer) => {
      writer.text(RULE.table, chain.table);
      writer.text(RULE.chain, chain.chain);
      if (handle !== undefined) writer.u64(RULE.handle, handle);
    });
  }

  /**
   * Applies everything, or nothing: throws NetlinkError then.
   * @param generation the rules must not have changed since it was read; `ERESTART` if they have
   */
  commit(nfnetlink: Nfnetlink, generation?: number): void {
    nfnetlink.transact(NFNL_SUBSYS_NFTABLES, this.#requests, generation);
  }

  /** As {@link commit}, beside the event loop: see {@link Nfnetlink.transactAside}. */
  commitAside(nfnetlink: Nfnetlink): Promise<void> {
    return nfnetlink.transactAside(NFNL_SUBSYS_NFTABLES, this.#requests);
  }

  #rule(
    flags: number,
    verb: string,
    chain: ChainName,
    statements: readonly Statement[],
    comment: string | undefined,
  ): this {
    return this.#add(MESSAGE.newRule, flags, chain, `${verb} rule ${words(chain)} ${chain.chain}`, (writer) => {
      writer.text(RULE.table, chain.table);
      writer.text(RULE.chain, chain.chain);
      writeExpressions(writer, RULE.expressions, rule(chain.family, statements));
      if (comment !== undefined) writer.raw(RULE.userData, commentData(comment, USER_DATA.comment));
    });
  }

  #elements(message: number, flags: number, verb: string, set: SetName, elements: readonly Element[]): this {
    for (let start = 0; start < elements.length; start += elementsAtOnce)
      this.#add(message, flags, set, `${verb} element ${words(set)} ${set.set}`, (writer) => {
        writer.text(ELEMENTS.table, set.table);
        writer.text(ELEMENTS.set, set.set);
        writer.nest(ELEMENTS.elements, () => {
          for (const element of elements.slice(start, start + elementsAtOnce))
            writer.nest(LIST_ELEMENT, () => writeElement(writer, element));
        });
      });
    return this;
  }

  #add(
    message: number,
    flags: number,
    { family }: TableName,
    subject: string,
    write: (writer: AttributeWriter) => void,
  ): this {
    this.#requests.push({ type: (NFNL_SUBSYS_NFTABLES << 8) | message, flags, family: FAMILY[family], subject, write });
    return this;
  }
}

/** The key of a concatenation, or its data. */
export function concatenated(...parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.alloc(parts.reduce((sum, part) => sum + roundUp(part.length), 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += roundUp(part.length);
  }
  return bytes;
}

/** The numbers of nft's types in a concatenation take six bits each. */
const TYPE_BITS = 6;
const VERDICT_TYPE = 0xffffff00;
const VERDICT_LENGTH = 16;

function typeOf(types: readonly AnyType[]): number {
  return types.reduce((sum, { type }) => (sum << TYPE_BITS) | type, 0);
}

function lengthOf(types: readonly AnyType[]): number {
  return types.length === 1 ? types[0]!.length : types.reduce((sum, { length }) => sum + roundUp(length), 0);
}

function flagsOf(set: NewSet): number {
  const kind =
    (set.data === undefined ? 0 : SET_FLAG.map) | (isConcatenationOfRanges(set) ? SET_FLAG.concatenation : 0);
  return (set.flags ?? []).reduce((sum, flag) => sum | SET_FLAG[flag], kind);
}

/** Only for these the kernel must know how long each part is. */
function isConcatenationOfRanges({ key, flags = [] }: NewSet): boolean {
  return key.length > 1 && flags.includes("interval");
}

/** @param parts of the key, where they have to be told */
function writeDescription(writer: AttributeWriter, parts: readonly AnyType[], size: number | undefined): void {
  if (size !== undefined) writer.u32(SET_DESCRIPTION.size, size);
  if (parts.length > 0)
    writer.nest(SET_DESCRIPTION.concatenation, () => {
      for (const { length } of parts) writer.nest(LIST_ELEMENT, () => writer.u32(SET_FIELD_LENGTH, length));
    });
}

function writeHook(writer: AttributeWriter, { type, hook, priority, policy = "accept" }: ChainHook): void {
  writer.nest(CHAIN.hook, () => {
    writer.u32(CHAIN_HOOK.number, HOOK[hook]);
    writer.u32(CHAIN_HOOK.priority, priority);
  });
  writer.u32(CHAIN.policy, VERDICT[policy]);
  writer.text(CHAIN.type, type);
}

function writeElement(
  writer: AttributeWriter,
  { key, keyEnd, data, timeout, comment, endsRange = false }: Element,
): void {
  if (endsRange) writer.u32(ELEMENT.flags, ELEMENT_FLAG.intervalEnd);
  writeData(writer, ELEMENT.key, { bytes: key });
  if (keyEnd) writeData(writer, ELEMENT.keyEnd, { bytes: keyEnd });
  if (data) writeData(writer, ELEMENT.data, data);
  if (timeout !== undefined) writer.u64(ELEMENT.timeout, timeout);
  if (comment !== undefined) writer.raw(ELEMENT.userData, commentData(comment, USER_DATA.comment));
}

function words({ family, table }: TableName): string {
  return `${family} ${table}`;
}
