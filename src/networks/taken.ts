import { isIPv6, isIP } from "node:net";
import { canonicalAddress, familyOf } from "../../common/address.js";
import { Subnet } from "../../network/addresses/subnet.js";
import type { Inventory } from "../inventory/inventory.js";
import type { Taken } from "../../network/addresses/pools.js";
import type { Route } from "../../linux/netlink/rtnetlink/addresses.js";
import type { NetworkRecord } from "./records.js";

/** Who has which subnets, for a network that is to get one. */
export interface SubnetUsers {
  readonly routes: readonly (Route & { readonly linkName: string })[];
  readonly networks: Iterable<NetworkRecord>;
  /** Of Docker, by name. */
  readonly dockerSubnets: readonly { readonly network: string; readonly subnet: string }[];
  /** Servers of the host's resolv.conf. */
  readonly resolvers: readonly string[];
}

/** As far as Docker's feed has told: those of networks whose bridge is down, too, to which no route leads. */
export function dockerSubnets({ networks }: Pick<Inventory, "networks">): SubnetUsers["dockerSubnets"] {
  return [...networks.values()]
    .filter(({ source }) => source === "docker")
    .flatMap(({ name, subnets = [] }) => subnets.map((subnet) => ({ network: name, subnet })));
}

/** Addresses that no network of a host can have (RFC 6890). */
export const specialSubnets: readonly Taken[] = [
  ["0.0.0.0/8", "a host that has no address yet"],
  ["127.0.0.0/8", "every host's loopback"],
  ["169.254.0.0/16", "every link, for link-local addresses,"],
  ["224.0.0.0/3", "multicast"],
  ["::/96", "every host's loopback"],
  ["fe80::/10", "every link, for link-local addresses,"],
  ["ff00::/8", "multicast"],
].map(([subnet, by]) => ({ subnet: Subnet.parse(subnet!), by: by! }));

/** In the order in which a message should name them: who asks for it rather than the route that follows from it. */
export function takenSubnets({ routes, networks, dockerSubnets, resolvers }: SubnetUsers): Taken[] {
  const bridges = new Set<string>();
  const taken: Taken[] = [];
  const add = (text: string, by: string) => {
    const subnet = subnetOf(text);
    if (subnet) taken.push({ subnet, by });
  };
  for (const { name, bridge, subnets } of networks) {
    bridges.add(bridge);
    for (const { subnet } of subnets) add(subnet, `network ${name}`);
  }
  for (const { network, subnet } of dockerSubnets) add(subnet, `Docker's network ${network}`);
  for (const { destination, linkName } of routes) {
    const text = `${destination.ip}/${destination.prefix}`;
    if (!bridges.has(linkName) && isWorldly(destination)) add(text, `the host's route ${text} dev ${linkName}`);
  }
  for (const ip of resolvers) {
    const address = canonicalAddress(ip);
    if (address !== undefined) add(`${address}/${isIPv6(address) ? 128 : 32}`, `the resolver ${address}`);
  }
  return taken;
}

/** Default routes, halves of the world (as some VPNs have them), multicast and link-local ones take no subnet. */
function isWorldly({ ip, prefix }: Route["destination"]): boolean {
  if (prefix <= 1 || isIP(ip) === 0) return false;
  return familyOf(ip) === "ipv4" ? true : !/^f[ef]/i.test(ip);
}

function subnetOf(text: string): Subnet | undefined {
  try {
    return Subnet.parse(text);
  } catch {
    return undefined; // Docker's, or a route of a kind that is no subnet
  }
}
