import { PontoonError } from "../../common/errors.js";
import { requireFree, type Taken } from "../../network/addresses/pools.js";
import { Subnet } from "../../network/addresses/subnet.js";
import type { SubnetRecord } from "./records.js";

// `from:eth0/80`: an IPv6 subnet that is a part of the prefix that the host has on a link, whatever that is. The part is kept by
// its number, so that it is the same part of another prefix.

/** Which part of which link's prefix a subnet is. */
export type PrefixPart = NonNullable<SubnetRecord["from"]>;

const marker = "from:";
/** Of a /64, which is what most LANs have, nothing shorter is left over. Endpoints do not configure themselves, and need no 64 bits. */
const usualBits = { ofWhole: 80, ofLarger: 64 } as const;
/** The first has the addresses that people and routers choose, `…::1`. */
const firstPart = 1;
const triedAtMost = 1000;

export function isFromPrefix(subnet: string): boolean {
  return subnet.startsWith(marker);
}

/** The link that a subnet is to follow, and how long it is to be. Throws SUBNET_INVALID. */
export function prefixSourceOf(text: string): { readonly link: string; readonly bits: number | undefined } {
  const [, link, bits] = /^from:([^/\s%:]{1,15})(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  if (link !== undefined && (bits === undefined || (Number(bits) >= 48 && Number(bits) <= 120)))
    return { link, bits: bits === undefined ? undefined : Number(bits) };
  throw new PontoonError(
    "SUBNET_INVALID",
    text,
    `${text} is not a subnet; write it as from:LINK, or from:LINK/80 with the bits of its own prefix, 48 to 120`,
  );
}

/**
 * The first part of a link's prefix that is free.
 * @param prefixes of the link, the best first
 * @param addresses the host's own there
 * Throws SUBNET_NEEDED, SUBNET_INVALID, NO_FREE_SUBNET.
 */
export function choosePart(
  text: string,
  prefixes: readonly Subnet[],
  addresses: readonly string[],
  taken: readonly Taken[],
): { readonly subnet: Subnet; readonly part: PrefixPart } {
  const { link, bits: given } = prefixSourceOf(text);
  const [prefix] = prefixes;
  if (!prefix)
    throw new PontoonError(
      "SUBNET_NEEDED",
      link,
      `${link} has no global IPv6 address that tells a prefix of which ${text} could be a part; name the subnet itself`,
    );
  const bits = given ?? (prefix.prefix < 64 ? usualBits.ofLarger : usualBits.ofWhole);
  const longer = `from:${link}/${Math.max(prefix.prefix + 1, usualBits.ofWhole)}`;
  if (bits <= prefix.prefix)
    throw new PontoonError(
      "SUBNET_INVALID",
      text,
      `${text} cannot be: the prefix of ${link} is ${prefix.text}, and a part of it is longer; write ${longer}`,
    );
  const parts = Math.min(2 ** (bits - prefix.prefix), firstPart + triedAtMost);
  for (let number = firstPart; number < parts; number++) {
    const subnet = prefix.part(bits, BigInt(number));
    if (!addresses.some((ip) => subnet.contains(ip)) && isFree(subnet, taken))
      return { subnet, part: { link, bits, number } };
  }
  throw new PontoonError("NO_FREE_SUBNET", text, `no part of ${prefix.text} is free for ${text}; name a longer prefix`);
}

function isFree(subnet: Subnet, taken: readonly Taken[]): boolean {
  try {
    requireFree(subnet, taken);
    return true;
  } catch {
    return false;
  }
}

/** The same part of the prefix that the link has by now; undefined where it is as it was, or cannot be told. */
export function followed({ subnet, from }: SubnetRecord, prefixes: readonly Subnet[]): Subnet | undefined {
  const now = Subnet.parse(subnet);
  // A link that has just come up may have one of a site alone for a moment.
  const prefix = prefixes.find(({ network }) => isOfInternet(network) === isOfInternet(subnet));
  if (!from || !prefix || prefixes.some((each) => each.encloses(now))) return undefined;
  const hasPart = from.bits > prefix.prefix && from.number < 2 ** (from.bits - prefix.prefix);
  return hasPart ? prefix.part(from.bits, BigInt(from.number)) : undefined;
}

/** Global unicast addresses begin so (RFC 4291, as of IANA's registry); others are of a site (RFC 4193). */
export function isOfInternet(ip: string): boolean {
  return /^[23]/.test(ip);
}

/** An address with the same number in another subnet. */
export function moved(ip: string, from: Subnet, to: Subnet): string {
  const number = from.numberOf(ip);
  return number === undefined ? ip : to.at(number);
}
