// A tree of pages in a store's file: whether every page of it is one, and every node is on its page.

/** Bytes in front of every page. */
export const headerSize = 24;
const nodeSize = 8;
const depthAtMost = 32;
/** Free pages are listed by numbers (MDB_INTEGERKEY); the file is no folder (MDB_NOSUBDIR). */
export const freeFlags = 0x4008;
const noPage = 0xffff_ffff_ffff_ffffn;
const flag = { branch: 0x01, leaf: 0x02, overflow: 0x04, kinds: 0x7f } as const;
const inOtherPages = 0x01;
/** Bytes of a key that lmdb can read, at most. */
const keyAtMost = 1978;

/** Why a file is no store that can be read; the message comes after the file's name. */
export class Fault extends Error {
  constructor(
    message: string,
    readonly isNewer = false,
  ) {
    super(message);
  }
}

export interface Pages {
  /** Bytes of each. */
  readonly size: number;
  readonly count: number;
  /** The last transaction: what seems to be of a later one counts as not written yet. */
  readonly transaction: bigint;
  /** Those that were reached. */
  readonly used: Set<number>;
  page(number: number): Buffer;
  /** Bytes behind the header of a page, on the pages after it as well. */
  range(number: number, length: number): Buffer;
}

export interface Tree {
  readonly flags: number;
  readonly depth: number;
  readonly root: bigint;
}

/** One node of a page. */
interface Node {
  readonly key: Buffer;
  /** Size of the data, or the lower half of a page's number. */
  readonly low: number;
  readonly flags: number;
  /** Where its data begins. */
  readonly dataAt: number;
}

/** Throws {@link Fault}. */
export function checkTree(pages: Pages, tree: Tree, what: "records" | "free pages"): void {
  const flags = what === "records" ? 0 : freeFlags;
  if (tree.flags !== flags) throw damaged(`the tree of ${what} is of another kind (flags ${tree.flags})`);
  if (tree.root === noPage) {
    if (tree.depth !== 0) throw damaged(`the tree of ${what} has no pages`);
    return;
  }
  if (tree.depth < 1 || tree.depth > depthAtMost) throw damaged(`the tree of ${what} has ${tree.depth} levels`);
  const onLeaf = what === "records" ? checkRecord : checkFreePages;
  checkPage(pages, pageNumber(pages, tree.root), tree.depth, onLeaf);
}

function checkPage(
  pages: Pages,
  number: number,
  levels: number,
  onLeaf: (pages: Pages, page: Buffer, node: Node) => void,
): void {
  take(pages, number, 1);
  const page = pages.page(number);
  requireOwn(pages, page, number);
  const isBranch = levels > 1;
  if ((page.readUInt16LE(18) & flag.kinds) !== (isBranch ? flag.branch : flag.leaf)) throw notThere(number);
  const nodes = nodesOf(page, number);
  if (isBranch && nodes.length < 2) throw notThere(number);
  for (const node of nodes)
    if (isBranch)
      checkPage(pages, pageNumber(pages, BigInt(node.low) | (BigInt(node.flags) << 32n)), levels - 1, onLeaf);
    else onLeaf(pages, page, node);
}

function requireOwn({ size, transaction }: Pages, page: Buffer, number: number): void {
  if (page.length !== size || page.readBigUInt64LE(0) !== BigInt(number) || page.readBigUInt64LE(8) > transaction)
    throw notThere(number);
}

function nodesOf(page: Buffer, number: number): Node[] {
  const [lower, upper] = [page.readUInt16LE(20), page.readUInt16LE(22)];
  const room = page.length - headerSize;
  if (lower > upper || upper > room || lower % 2 !== 0) throw notThere(number);
  return Array.from({ length: lower / 2 }, (_, index) => {
    const offset = page.readUInt16LE(headerSize + 2 * index);
    const at = headerSize + offset;
    if (offset < upper || offset + nodeSize > room || offset % 2 !== 0) throw notThere(number);
    const keySize = page.readUInt16LE(at + 6);
    const dataAt = at + nodeSize + keySize;
    if (keySize > keyAtMost || dataAt > page.length) throw notThere(number);
    const low = page.readUInt32LE(at);
    return { key: page.subarray(at + nodeSize, dataAt), low, flags: page.readUInt16LE(at + 4), dataAt };
  });
}

function checkRecord(pages: Pages, page: Buffer, node: Node): void {
  if (node.key.length === 0) throw damaged("a record has no key");
  dataOf(pages, page, node);
}

/** A list of numbers behind their count; a negative one says how many pages follow each other. */
function checkFreePages(pages: Pages, page: Buffer, node: Node): void {
  const data = dataOf(pages, page, node);
  if (node.key.length !== 8 || data.length < 8) throw damaged("a list of free pages is none");
  const count = data.readBigUInt64LE(0);
  if (count > BigInt(data.length / 8 - 1)) throw damaged("a list of free pages is longer than it can be");
  for (let index = 1; index <= Number(count); index++) {
    const entry = data.readBigInt64LE(8 * index);
    const number = Number(entry < 0n ? -entry : entry);
    if (number >= pages.count || (entry > 0n && (number < 2 || pages.used.has(number))))
      throw damaged(`page ${number} counts as free`);
  }
}

function dataOf(pages: Pages, page: Buffer, { low: size, flags, dataAt }: Node): Buffer {
  if (flags !== 0 && flags !== inOtherPages) throw damaged("a record is of a kind that pontoon does not write");
  const inline = flags === 0;
  if (dataAt + (inline ? size : 8) > page.length) throw damaged("a record goes beyond its page");
  if (inline) return page.subarray(dataAt, dataAt + size);
  const first = pageNumber(pages, page.readBigUInt64LE(dataAt));
  const header = pages.page(first);
  requireOwn(pages, header, first);
  if ((header.readUInt16LE(18) & flag.kinds) !== flag.overflow) throw notThere(first);
  const count = header.readUInt32LE(20);
  if (count * pages.size < headerSize + size) throw damaged("a record goes beyond its pages");
  take(pages, first, count);
  return pages.range(first, size);
}

/** No page belongs to two places, so that every walk ends. */
function take({ used, count }: Pages, first: number, length: number): void {
  if (first + length > count) throw notThere(first);
  for (let number = first; number < first + length; number++) {
    if (used.has(number)) throw damaged(`page ${number} is in two places`);
    used.add(number);
  }
}

function pageNumber({ count }: Pages, number: bigint): number {
  if (number < 2n || number >= BigInt(count)) throw damaged(`it points to page ${number} of ${count}`);
  return Number(number);
}

function notThere(number: number): Fault {
  return damaged(`page ${number} is not what it should be`);
}

function damaged(why: string): Fault {
  return new Fault(`is damaged: ${why}`);
}
