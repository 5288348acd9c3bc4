import { randomBytes } from "node:crypto";

/**
 * HalfSipHash-1-3 of a string of single bytes, under a secret of its own: whoever chooses the keys cannot choose which
 * of them collide.
 */
export class SipHash {
  readonly #k0: number;
  readonly #k1: number;

  constructor(secret: Buffer = randomBytes(8)) {
    this.#k0 = secret.readInt32LE(0);
    this.#k1 = secret.readInt32LE(4);
  }

  /** @returns 32 bits, unsigned */
  of(key: string): number {
    let v0 = this.#k0;
    let v1 = this.#k1;
    let v2 = 0x6c796765 ^ this.#k0;
    let v3 = 0x74656462 ^ this.#k1;
    const whole = key.length & ~3;
    for (let at = 0; ; at += 4) {
      const word = at < whole ? wordAt(key, at) : lastWord(key, whole);
      v3 ^= word;
      round();
      v0 ^= word;
      if (at >= whole) break;
    }
    v2 ^= 0xff;
    round();
    round();
    round();
    return (v1 ^ v3) >>> 0;

    function round(): void {
      v0 = (v0 + v1) | 0;
      v1 = rotate(v1, 5) ^ v0;
      v0 = rotate(v0, 16);
      v2 = (v2 + v3) | 0;
      v3 = rotate(v3, 8) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = rotate(v3, 7) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = rotate(v1, 13) ^ v2;
      v2 = rotate(v2, 16);
    }
  }
}

function wordAt(key: string, at: number): number {
  return (
    key.charCodeAt(at) | (key.charCodeAt(at + 1) << 8) | (key.charCodeAt(at + 2) << 16) | (key.charCodeAt(at + 3) << 24)
  );
}

/** What is left over, and the length. */
function lastWord(key: string, from: number): number {
  let word = key.length << 24;
  for (let at = from; at < key.length; at++) word |= key.charCodeAt(at) << (8 * (at - from));
  return word;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
