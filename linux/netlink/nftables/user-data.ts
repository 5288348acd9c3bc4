import { USER_DATA } from "./numbers.js";

// What nft keeps with tables, chains, rules, sets and elements besides what the kernel needs: type, length, value, one byte each for the first two.

const lengthAtMost = 255;

/** A comment as nft stores and shows it. Throws RangeError when it is too long: 254 bytes. */
export function commentData(comment: string, type: number): Buffer {
  const text = Buffer.from(`${comment}\0`);
  if (text.length > lengthAtMost)
    throw new RangeError(`the comment has ${text.length - 1} bytes; nftables takes up to ${lengthAtMost - 1}`);
  return Buffer.concat([Buffer.of(type, text.length), text]);
}

/** That the keys of a set are in the host's order, as nft has it of names of links and of marks. */
export const hostOrderData: Buffer = Buffer.of(USER_DATA.setKeyByteOrder, 4, 1, 0, 0, 0);

/** @returns undefined when there is none */
export function commentIn(data: Buffer | undefined, type: number): string | undefined {
  for (let at = 0; data && at + 2 <= data.length; at += 2 + data[at + 1]!) {
    const value = data.subarray(at + 2, at + 2 + data[at + 1]!);
    if (data[at] !== type || value.length !== data[at + 1]) continue;
    const end = value.indexOf(0);
    return value.toString("utf8", 0, end === -1 ? value.length : end);
  }
  return undefined;
}
