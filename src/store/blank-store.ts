import { freeFlags, headerSize } from "./page-tree.js";
import { dataVersion, magic, metaPage } from "./page-check.js";

/** Bytes of a page of a new file, on every machine. */
const pageSize = 4096;
const noPage = 0xffff_ffff_ffff_ffffn;

/**
 * A file without records, as lmdb begins one. lmdb itself would end the process when it cannot write it, as on a full disk.
 * @param mapSize bytes of address space
 */
export function blankStore(mapSize: number): Buffer {
  const file = Buffer.alloc(2 * pageSize);
  for (const number of [0, 1]) {
    const page = file.subarray(number * pageSize, (number + 1) * pageSize);
    page.writeBigUInt64LE(BigInt(number), 0);
    page.writeUInt16LE(metaPage, 18);
    page.writeUInt32LE(magic, headerSize);
    page.writeUInt32LE(dataVersion, headerSize + 4);
    page.writeBigUInt64LE(BigInt(mapSize), headerSize + 16);
    const [free, main] = [headerSize + 24, headerSize + 24 + 48];
    page.writeUInt32LE(pageSize, free);
    page.writeUInt16LE(freeFlags, free + 4);
    for (const tree of [free, main]) page.writeBigUInt64LE(noPage, tree + 40);
    page.writeBigUInt64LE(1n, main + 48); // the last page
  }
  return file;
}
