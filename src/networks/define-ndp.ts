import { familyOf } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import { Subnet } from "../../network/addresses/subnet.js";
import type { CreateNetworkRequest } from "./contract.js";
import type { NetworkRecord, SubnetRecord } from "./records.js";

/** The link of the host that is to answer for IPv6 addresses of endpoints. */
export interface ProxyLinkFacts {
  readonly name: string;
  /** Its own, of both families. */
  readonly addresses: readonly string[];
  /** It answers for others already. */
  readonly isOn: boolean;
}

/**
 * What a network has a LAN know of its endpoints.
 * @param others networks there are: of a link that one of them has answer, that one knows whether it did before
 * Throws OPTION_UNFIT, NO_LINK, SUBNET_NEEDED, SUBNET_OVERLAPS; nothing is done yet.
 */
export function defineNdpProxy(
  { name, ndpProxy, internal }: CreateNetworkRequest,
  subnets: readonly SubnetRecord[],
  facts: ProxyLinkFacts | undefined,
  others: Iterable<Pick<NetworkRecord, "ndpProxy">>,
): Pick<NetworkRecord, "ndpProxy"> {
  if (ndpProxy === undefined) return {};
  if (internal)
    throw new PontoonError(
      "OPTION_UNFIT",
      "--ndp-proxy",
      "an internal network has no --ndp-proxy: nothing comes in there",
    );
  if (!facts)
    throw new PontoonError(
      "NO_LINK",
      ndpProxy || "default route",
      ndpProxy === ""
        ? "the host has no default route of IPv6 that tells which link leads to the LAN; name it: --ndp-proxy LINK"
        : `the host has no link ${ndpProxy} to answer on; name one that it has`,
    );
  requireSubnet(name, subnets, facts);
  const known = [...others].find((other) => other.ndpProxy?.link === facts.name)?.ndpProxy;
  return { ndpProxy: known ?? { link: facts.name, wasOn: facts.isOn } };
}

function requireSubnet(
  name: string,
  subnets: readonly SubnetRecord[],
  { name: link, addresses }: ProxyLinkFacts,
): void {
  const own = subnets.map(({ subnet }) => Subnet.parse(subnet)).filter(({ family }) => family === "ipv6");
  if (own.length === 0)
    throw new PontoonError(
      "SUBNET_NEEDED",
      name,
      `--ndp-proxy answers for IPv6 addresses, and network ${name} has none; name a part of the prefix of ${link} with --subnet, such as a /80`,
    );
  const ofLink = addresses.filter((ip) => familyOf(ip) === "ipv6");
  for (const subnet of own) {
    const inside = ofLink.find((ip) => subnet.contains(ip));
    if (inside === undefined) continue;
    throw new PontoonError(
      "SUBNET_OVERLAPS",
      subnet.text,
      `${subnet.text} has ${inside} in it, which is the host's own on ${link}; choose a part of the prefix without it, such as a /80`,
    );
  }
}
