import { BlockList } from "node:net";
import { familyOf, isAddress, unmapped } from "../../common/address.js";

/** A set of networks, given as CIDRs or single addresses. */
export class Networks {
  readonly #list = new BlockList();
  readonly isEmpty: boolean;

  /** Throws a RangeError for a text that is not a network. */
  constructor(cidrs: readonly string[]) {
    this.isEmpty = cidrs.length === 0;
    for (const cidr of cidrs) this.#add(cidr);
  }

  /** @param ip an IPv4 address mapped into IPv6 counts as the IPv4 address */
  includes(ip: string): boolean {
    const plain = unmapped(ip);
    return this.#list.check(plain, familyOf(plain));
  }

  #add(cidr: string): void {
    const [ip = "", length, ...rest] = cidr.split("/");
    const family = familyOf(ip);
    const bits = family === "ipv4" ? 32 : 128;
    const prefix = length === undefined ? bits : Number(length);
    const isWhole = length === undefined || /^\d{1,3}$/.test(length);
    if (!isAddress(ip) || rest.length > 0 || !isWhole || prefix > bits)
      throw new RangeError(`${cidr} is not a network such as 10.0.0.0/8 or fd00::/8`);
    this.#list.addSubnet(ip, prefix, family);
  }
}
