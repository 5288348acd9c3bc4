// Whether a store's file is whole. lmdb maps it into memory and believes what it says: of a file that is cut off or written
// over it would end the process. Read as mdb.c (data version 2) writes it, on a machine with the same order of bytes.
import { checkTree, Fault, headerSize, type Pages, type Tree } from "./page-tree.js";

export const magic = 0xbeef_c0de;
/** Of the format of lmdb's files. */
export const dataVersion = 2;
export const metaPage = 0x08;
/** Bytes of what is read of a page of the start. */
export const metaSize = headerSize + 144;

interface Meta {
  readonly pageSize: number;
  readonly free: Tree;
  readonly main: Tree;
  readonly lastPage: number;
  readonly transaction: bigint;
}

/** What is wrong with a file, in words that come after its name; undefined when nothing is. */
export type PageFault =
  /** Nothing was ever written into it. */
  "blank" | { readonly reason: string; readonly isNewer: boolean } | undefined;

/**
 * @param size bytes of the file
 * @param read so many bytes from there on, fewer at the file's end
 */
export function pageFault(size: number, read: (at: number, length: number) => Buffer): PageFault {
  try {
    const start = read(0, 2 * 4096);
    if (size % 4096 === 0 && size <= start.length && start.every((byte) => byte === 0)) return "blank";
    const meta = newestMeta(start, read);
    const pageCount = meta.lastPage + 1;
    if (pageCount * meta.pageSize > size)
      throw new Fault(`has ${size} bytes of ${pageCount * meta.pageSize}: it is cut off`);
    const pages: Pages = {
      size: meta.pageSize,
      count: pageCount,
      transaction: meta.transaction,
      used: new Set(),
      page: (number) => read(number * meta.pageSize, meta.pageSize),
      range: (number, length) => read(number * meta.pageSize + headerSize, length),
    };
    checkTree(pages, meta.main, "records");
    checkTree(pages, meta.free, "free pages");
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return { reason: error.message, isNewer: error.isNewer };
    throw error;
  }
}

function newestMeta(start: Buffer, read: (at: number, length: number) => Buffer): Meta {
  const first = metaOf(start);
  const second = metaOf(read(first.pageSize, metaSize));
  if (second.pageSize !== first.pageSize) throw new Fault("is damaged: its two starts differ in the size of a page");
  return first.transaction >= second.transaction ? first : second;
}

function metaOf(page: Buffer): Meta {
  if (page.length < metaSize) throw new Fault("is cut off in its first pages");
  if ((page.readUInt16LE(18) & metaPage) === 0 || page.readUInt32LE(headerSize) !== magic)
    throw new Fault("is no store of pontoon's, or its first pages are damaged");
  const version = page.readUInt32LE(headerSize + 4) & 0xffff;
  if (version !== dataVersion)
    throw new Fault(`has version ${version} of lmdb's files, this pontoon reads ${dataVersion}`, version > dataVersion);
  const at = headerSize + 24;
  const pageSize = page.readUInt32LE(at);
  if (pageSize < 4096 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0)
    throw new Fault("is damaged: it has no size of a page");
  const lastPage = page.readBigUInt64LE(at + 96);
  if (lastPage < 1n || lastPage > 0xffff_ffffn) throw new Fault("is damaged: it does not know its last page");
  return {
    pageSize,
    free: treeOf(page, at),
    main: treeOf(page, at + 48),
    lastPage: Number(lastPage),
    transaction: page.readBigUInt64LE(at + 104),
  };
}

function treeOf(page: Buffer, at: number): Tree {
  return { flags: page.readUInt16LE(at + 4), depth: page.readUInt16LE(at + 6), root: page.readBigUInt64LE(at + 40) };
}
