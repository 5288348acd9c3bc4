import { BlockList, isIP, isIPv4 } from "node:net";

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
    return this.#list.check(plain, isIPv4(plain) ? "ipv4" : "ipv6");
  }

  #add(cidr: string): void {
    const [ip = "", length, ...rest] = cidr.split("/");
    const version = isIP(ip);
    const bits = version === 4 ? 32 : 128;
    const prefix = length === undefined ? bits : Number(length);
    const isWhole = length === undefined || /^\d{1,3}$/.test(length);
    if (version === 0 || ip.includes("%") || rest.length > 0 || !isWhole || prefix > bits)
      throw new RangeError(`${cidr} is not a network such as 10.0.0.0/8 or fd00::/8`);
    this.#list.addSubnet(ip, prefix, version === 4 ? "ipv4" : "ipv6");
  }
}

/** `192.0.2.1` for `::ffff:192.0.2.1`, in any spelling the kernel's addresses are given in; other addresses as they are. */
export function unmapped(ip: string): string {
  const groups = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(ip);
  if (groups) {
    const [high, low] = [parseInt(groups[1]!, 16), parseInt(groups[2]!, 16)];
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1] ?? ip;
}
