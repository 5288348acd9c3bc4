/** Children of a node, and bits of a word. */
const width = 32;
const full = 0xffff_ffff;
/** Levels that reach beyond 2³² numbers. */
const levels = 7;

/**
 * Numbers below 2³² that are taken, and the first that is not: a tree whose nodes are words with a bit for each child, set when
 * nothing is free below it. Words without a set bit are not kept, so memory follows what is taken; every call looks at no more
 * than two words of each of seven levels.
 */
export class TakenNumbers {
  /** Of each level, from the numbers themselves up: words by their place. */
  readonly #words: readonly Map<number, number>[] = Array.from({ length: levels }, () => new Map<number, number>());

  has(number: number): boolean {
    return (this.#word(0, place(number)) & bit(number)) !== 0;
  }

  take(number: number): void {
    let index = number;
    for (const words of this.#words) {
      const word = ((words.get(place(index)) ?? 0) | bit(index)) >>> 0;
      words.set(place(index), word);
      if (word !== full) return;
      index = place(index);
    }
  }

  free(number: number): void {
    let index = number;
    for (const words of this.#words) {
      const before = words.get(place(index)) ?? 0;
      const word = (before & ~bit(index)) >>> 0;
      if (word === 0) words.delete(place(index));
      else words.set(place(index), word);
      if (before !== full) return;
      index = place(index);
    }
  }

  /** The first number from here on that is not taken; it may be beyond all that the caller has. */
  firstFree(from: number): number {
    let index = from;
    for (let level = 0; level < levels; level++) {
      const free = freeBits(this.#word(level, place(index)), index % width);
      if (free !== 0) return this.#descend(level, place(index) * width + lowestBit(free));
      index = place(index) + 1;
    }
    return Infinity;
  }

  /** How many words are kept, which is what its memory follows. */
  get wordCount(): number {
    return this.#words.reduce((sum, words) => sum + words.size, 0);
  }

  #descend(level: number, found: number): number {
    let index = found;
    for (let below = level - 1; below >= 0; below--)
      index = index * width + lowestBit(freeBits(this.#word(below, index), 0));
    return index;
  }

  #word(level: number, index: number): number {
    return this.#words[level]!.get(index) ?? 0;
  }
}

function place(index: number): number {
  return Math.floor(index / width);
}

function bit(index: number): number {
  return (1 << (index % width)) >>> 0;
}

/** The bits of a word that are not set, from one on. */
function freeBits(word: number, from: number): number {
  return (~word & (full << from)) >>> 0;
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}
