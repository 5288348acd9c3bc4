import { BlockList } from "node:net";
import { familyOf, parsePrefix, unmapped } from "../../common/address.js";

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
    const prefix = parsePrefix(cidr);
    if (!prefix) throw new RangeError(`${cidr} is not a network such as 10.0.0.0/8 or fd00::/8`);
    this.#list.addSubnet(prefix.ip, prefix.length, prefix.family);
  }
}
