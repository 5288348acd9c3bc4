import type { ExpressionOf } from "./expressions.js";
import { BITWISE, COMPARE } from "./numbers.js";

// Bytes of a packet as far as they are known, and how the kernel compares them: for those who follow rules without a packet.

/** Bytes, some of which are not known. */
export type Bytes = readonly (number | undefined)[];

/** What becomes of a test of a rule. */
export type Outcome = "passes" | "fails" | "perhaps";

export function equals(bytes: Bytes, wanted: Buffer): Outcome {
  let isKnown = true;
  for (const [index, byte] of wanted.entries()) {
    if (bytes[index] === undefined) isKnown = false;
    else if (bytes[index] !== byte) return "fails";
  }
  return isKnown ? "passes" : "perhaps";
}

/** As the kernel compares: byte for byte, the first that differs decides. Undefined when that is not known. */
function compare(bytes: Bytes, other: Buffer): number | undefined {
  for (const [index, byte] of other.entries()) {
    const known = bytes[index];
    if (known === undefined) return undefined;
    if (known !== byte) return known - byte;
  }
  return 0;
}

export function opposite(outcome: Outcome): Outcome {
  return outcome === "passes" ? "fails" : outcome === "fails" ? "passes" : "perhaps";
}

/** What a `cmp` makes of what its register holds. */
export function comparison(bytes: Bytes, { operation = COMPARE.equal, data }: ExpressionOf<"cmp">): Outcome {
  if (!data || !("bytes" in data)) return "perhaps";
  const equality = equals(bytes, data.bytes);
  if (operation === COMPARE.equal) return equality;
  if (operation === COMPARE.unequal) return opposite(equality);
  const order = compare(bytes, data.bytes);
  if (order === undefined) return "perhaps";
  const holds = {
    [COMPARE.less]: order < 0,
    [COMPARE.atMost]: order <= 0,
    [COMPARE.more]: order > 0,
    [COMPARE.atLeast]: order >= 0,
  }[operation];
  return holds === undefined ? "perhaps" : holds ? "passes" : "fails";
}

/** What a `range` makes of what its register holds. */
export function inRange(bytes: Bytes, { operation = COMPARE.equal, from, to }: ExpressionOf<"range">): Outcome {
  if (!from || !to || !("bytes" in from) || !("bytes" in to)) return "perhaps";
  const [low, high] = [compare(bytes, from.bytes), compare(bytes, to.bytes)];
  if (low === undefined || high === undefined) return "perhaps";
  const outcome = low >= 0 && high <= 0 ? "passes" : "fails";
  return operation === COMPARE.unequal ? opposite(outcome) : outcome;
}

/** What a `bitwise` makes of bytes; empty when that is not known. */
export function bitwise(bytes: Bytes, { operation = BITWISE.mask, mask, xor }: ExpressionOf<"bitwise">): Bytes {
  if (operation !== BITWISE.mask || !mask || !("bytes" in mask) || !xor || !("bytes" in xor)) return [];
  return bytes.map((byte, index) => masked(byte, mask.bytes[index] ?? 0, xor.bytes[index] ?? 0));
}

function masked(byte: number | undefined, mask: number, xor: number): number | undefined {
  if (mask === 0) return xor;
  return byte === undefined ? undefined : (byte & mask) ^ xor;
}
