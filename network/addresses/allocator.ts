import { PontoonError } from "../../common/errors.js";
import type { Subnet } from "./subnet.js";
import { TakenNumbers } from "./taken-numbers.js";

/** An address and who has it, as a message may name it: `sandbox web`, `the gateway`. */
export interface Assignment {
  readonly address: string;
  readonly owner: string;
}

export interface AllocatorOptions {
  readonly subnet: Subnet;
  /** Where addresses that nobody asked for come from: a part of the subnet. */
  readonly ipRange?: Subnet | undefined;
  /** What no endpoint gets, and what is never released: the gateway, auxiliary addresses. */
  readonly reserved?: readonly Assignment[];
}

/** What an allocator's owner stores, so that the next one goes on where it was. */
export interface AllocatorState {
  readonly assigned: Iterable<Assignment>;
  /** See {@link AddressAllocator.lastGiven}. */
  readonly lastGiven?: string | undefined;
}

/** Addresses given out in order come from the first 2³² of a range: nobody can have so many. */
const numbersAtMost = 1n << 32n;

/**
 * Who has which address of one subnet. Addresses are given out in order, each the next free one behind the one given last, and
 * from the beginning again after the last: so those that were released are used again as late as possible (as libnetwork's
 * serial allocation). Work does not grow with the subnet, nor with what is assigned; memory follows what is assigned.
 */
export class AddressAllocator {
  readonly #subnet: Subnet;
  /** Numbers in the subnet of the first and last address that is given out in order. */
  readonly #from: bigint;
  readonly #to: bigint;
  readonly #fixed = new Map<bigint, string>();
  readonly #owners = new Map<bigint, string>();
  /** Of the range, counted from its first address. */
  readonly #taken = new TakenNumbers();
  #lastGiven: bigint | undefined;

  /** Throws RANGE_OUTSIDE for a range that is not in the subnet; ADDRESS_UNUSABLE, ADDRESS_TAKEN for what is reserved. */
  constructor({ subnet, ipRange = subnet, reserved = [] }: AllocatorOptions) {
    if (!subnet.encloses(ipRange))
      throw new PontoonError(
        "RANGE_OUTSIDE",
        ipRange.text,
        `the range ${ipRange.text} is not in the subnet ${subnet.text}; choose a part of the subnet`,
      );
    this.#subnet = subnet;
    const start = subnet.numberOf(ipRange.network)!;
    this.#from = larger(start, subnet.usable.first);
    this.#to = smaller(smaller(start + ipRange.size - 1n, subnet.usable.last), this.#from + numbersAtMost - 1n);
    for (const { address, owner } of reserved) this.#fixed.set(this.#take(address, owner), owner);
  }

  /** How many addresses have an owner, with those that are reserved. */
  get size(): number {
    return this.#owners.size;
  }

  /** The address that was given out in order last; undefined before the first. */
  get lastGiven(): string | undefined {
    return this.#lastGiven === undefined ? undefined : this.#subnet.at(this.#lastGiven);
  }

  /**
   * Gives an address to an owner; one that it has already may be asked for again.
   * @param wanted an address of the subnet, in or outside of the range; without it the next free one of the range
   * @returns the address in its canonical form
   * Throws ADDRESS_TAKEN naming who has it, ADDRESS_UNUSABLE for one that nobody may have here, ADDRESSES_EXHAUSTED.
   */
  assign(owner: string, wanted?: string): string {
    if (wanted !== undefined) return this.#subnet.at(this.#take(wanted, owner));
    const number = this.#next();
    this.#keep(number, owner);
    this.#lastGiven = number;
    return this.#subnet.at(number);
  }

  /** Keeps an address from being given to others, for one that may ask for it later; the same as asking for it. */
  reserve(address: string, owner: string): void {
    this.#take(address, owner);
  }

  /** @returns who had it; undefined if nobody had, and for what was reserved from the beginning, which stays */
  release(address: string): string | undefined {
    const number = this.#subnet.numberOf(address);
    if (number === undefined || this.#fixed.has(number)) return undefined;
    const owner = this.#owners.get(number);
    this.#owners.delete(number);
    if (this.#isInRange(number)) this.#taken.free(Number(number - this.#from));
    return owner;
  }

  /** Addresses are given out in order from behind one of the range on, with so many left out; they are had later on. */
  goOnBehind(address: string, leaveOut: number): void {
    const number = this.#subnet.numberOf(address);
    if (number === undefined || !this.#isInRange(number)) return;
    const length = this.#to - this.#from + 1n;
    this.#lastGiven = this.#from + ((number - this.#from + BigInt(leaveOut)) % length);
  }

  /** Who has an address: who was given it, or whom it is reserved for. */
  holderOf(address: string): string | undefined {
    const number = this.#subnet.numberOf(address);
    return number === undefined ? undefined : this.#owners.get(number);
  }

  /**
   * Takes over what was stored. What cannot be is left out, and all else is taken over.
   * @returns what was left out, with the errors {@link assign} has for it
   */
  restore({ assigned, lastGiven }: AllocatorState): { assignment: Assignment; error: PontoonError }[] {
    const refused: { assignment: Assignment; error: PontoonError }[] = [];
    for (const assignment of assigned)
      try {
        this.#take(assignment.address, assignment.owner);
      } catch (error) {
        if (!(error instanceof PontoonError)) throw error;
        refused.push({ assignment, error });
      }
    const last = lastGiven === undefined ? undefined : this.#subnet.numberOf(lastGiven);
    if (last !== undefined && this.#isInRange(last)) this.#lastGiven = last;
    return refused;
  }

  #take(address: string, owner: string): bigint {
    const number = this.#subnet.numberOf(address);
    if (number === undefined) throw this.#unusable(address, `is not an address of ${this.#subnet.text}`);
    if (number < this.#subnet.usable.first)
      throw this.#unusable(address, `is the address of the network ${this.#subnet.text} itself`);
    if (number > this.#subnet.usable.last)
      throw this.#unusable(address, `is the broadcast address of ${this.#subnet.text}`);
    const holder = this.#owners.get(number);
    if (holder !== undefined && holder !== owner)
      throw new PontoonError(
        "ADDRESS_TAKEN",
        address,
        `${address} is taken by ${holder}; choose another of ${this.#subnet.text}`,
      );
    this.#keep(number, owner);
    return number;
  }

  #unusable(address: string, what: string): PontoonError {
    const { first, last } = this.#subnet;
    return new PontoonError("ADDRESS_UNUSABLE", address, `${address} ${what}; choose one from ${first} to ${last}`);
  }

  #keep(number: bigint, owner: string): void {
    this.#owners.set(number, owner);
    if (this.#isInRange(number)) this.#taken.take(Number(number - this.#from));
  }

  #next(): bigint {
    const behind = this.#lastGiven === undefined ? 0 : Number(this.#lastGiven - this.#from) + 1;
    for (const from of [behind, 0]) {
      const number = this.#from + BigInt(this.#taken.firstFree(from));
      if (number <= this.#to) return number;
    }
    const range = this.#from > this.#to ? "" : ` from ${this.#subnet.at(this.#from)} to ${this.#subnet.at(this.#to)}`;
    throw new PontoonError(
      "ADDRESSES_EXHAUSTED",
      this.#subnet.text,
      `no address of ${this.#subnet.text} is left${range}: ${this.size} are taken; disconnect what is not needed, or use a larger subnet`,
    );
  }

  /** Whether an address is one of those that are given out in order. */
  isInRange(address: string): boolean {
    const number = this.#subnet.numberOf(address);
    return number !== undefined && this.#isInRange(number);
  }

  #isInRange(number: bigint): boolean {
    return number >= this.#from && number <= this.#to;
  }
}

function larger(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}

function smaller(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}
