import ipaddr from "ipaddr.js";
import {
  addressBits,
  canonicalAddress,
  canonicalForm,
  decodeIP,
  encodeIP,
  familyOf,
  parsePrefix,
  type Family,
} from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";

/** The addresses of one network, `10.89.0.0/24` or `fd00::/64`. Addresses in and out are text; inside they are numbers. */
export class Subnet {
  readonly family: Family;
  /** How many addresses it has, usable or not. */
  readonly size: bigint;
  /** Numbers of the first and last address an endpoint may have; see {@link first} and {@link last}. */
  readonly usable: { readonly first: bigint; readonly last: bigint };
  readonly #base: bigint;

  private constructor(
    /** Its first address, in canonical form. */
    readonly network: string,
    /** Bits that all its addresses have in common. */
    readonly prefix: number,
  ) {
    this.family = familyOf(network);
    const hostBits = addressBits[this.family] - prefix;
    this.size = 1n << BigInt(hostBits);
    this.#base = numberOf(network);
    // Both of two addresses are usable (RFC 3021, RFC 6164); the last of an IPv6 subnet is like any other.
    const isPair = hostBits < 2;
    this.usable = {
      first: isPair ? 0n : 1n,
      last: this.size - (isPair || this.family === "ipv6" ? 1n : 2n),
    };
  }

  /** Throws SUBNET_INVALID for what is not a subnet, and for a subnet with bits of an address in it, whose right form it names. */
  static parse(text: string): Subnet {
    const prefix = parsePrefix(text);
    if (!prefix || !text.includes("/"))
      throw invalid(
        text,
        "is not a subnet; write it as an address and the bits of its prefix, as 10.89.0.0/24 or fd00::/64",
      );
    const ip = canonicalForm(prefix.ip);
    if (familyOf(ip) !== prefix.family)
      throw invalid(text, `is IPv4 mapped into IPv6; write ${mappedForm(ip, prefix.length)}`);
    const network = networkOf(ip, prefix.length);
    if (network !== ip)
      throw invalid(text, `has bits set behind its prefix; the subnet is ${network}/${prefix.length}`);
    return new Subnet(network, prefix.length);
  }

  /** The subnet that an address with its prefix is in, as interfaces have them. @param ip an address, which is not looked at again */
  static around(ip: string, prefix: number): Subnet {
    return new Subnet(networkOf(canonicalForm(ip), prefix), prefix);
  }

  /** The first address that an endpoint may have: not the network's own address, except where there are only one or two. */
  get first(): string {
    return this.at(this.usable.first);
  }

  /** The last address that an endpoint may have: not the broadcast address of an IPv4 subnet of more than two. */
  get last(): string {
    return this.at(this.usable.last);
  }

  /** The address with a number, from 0 on. Throws a RangeError beyond {@link size}. */
  at(number: bigint): string {
    if (number < 0n || number >= this.size) throw new RangeError(`${this.text} has no address ${number}`);
    return textOf(this.#base + number, this.family);
  }

  /** The number of an address, in any spelling, in the subnet; undefined for one that is not in it. */
  numberOf(address: string): bigint | undefined {
    const ip = canonicalAddress(address);
    if (ip === undefined || familyOf(ip) !== this.family) return undefined;
    const number = numberOf(ip) - this.#base;
    return number >= 0n && number < this.size ? number : undefined;
  }

  contains(address: string): boolean {
    return this.numberOf(address) !== undefined;
  }

  /** Whether all addresses of the other one are in it. */
  encloses(other: Subnet): boolean {
    return other.prefix >= this.prefix && this.overlaps(other);
  }

  /** Whether they have an address in common: of two subnets that have, one encloses the other. Cheap enough for a table of routes. */
  overlaps(other: Subnet): boolean {
    const isApart = other.#base + other.size <= this.#base || this.#base + this.size <= other.#base;
    return other.family === this.family && !isApart;
  }

  /** One of the equal parts it can be divided into. Throws a RangeError for a part that does not exist. */
  part(prefix: number, number: bigint): Subnet {
    if (prefix < this.prefix || prefix > addressBits[this.family])
      throw new RangeError(`${this.text} has no part /${prefix}`);
    return new Subnet(this.at(number << BigInt(addressBits[this.family] - prefix)), prefix);
  }

  /** `10.89.0.0/24`, `fd00::/64`. */
  get text(): string {
    return `${this.network}/${this.prefix}`;
  }

  toString(): string {
    return this.text;
  }
}

function invalid(text: string, what: string): PontoonError {
  return new PontoonError("SUBNET_INVALID", text, `${text} ${what}`);
}

/** @param ip in canonical form: of other spellings ipaddr.js reads some otherwise, and some that are not addresses */
function networkOf(ip: string, prefix: number): string {
  const { IPv4, IPv6 } = ipaddr;
  const kind = familyOf(ip) === "ipv4" ? IPv4 : IPv6;
  return kind.networkAddressFromCIDR(`${ip}/${prefix}`).toString();
}

function mappedForm(ip: string, length: number): string {
  const prefix = length - 96;
  return prefix >= 0 ? `${networkOf(ip, prefix)}/${prefix}` : "the subnet in IPv4's own form";
}

function numberOf(ip: string): bigint {
  return BigInt(`0x${encodeIP(ip).toString("hex")}`);
}

function textOf(number: bigint, family: Family): string {
  return decodeIP(Buffer.from(number.toString(16).padStart(addressBits[family] / 4, "0"), "hex"));
}
