import { familyOf, type Family } from "../../common/address.js";
import { isLinkName } from "../../common/link-name.js";
import { PontoonError } from "../../common/errors.js";
import { chooseSubnet, requireFree, type AddressPool, type Taken } from "../../network/addresses/pools.js";
import { Subnet } from "../../network/addresses/subnet.js";
import { AddressAllocator } from "../../network/addresses/allocator.js";
import type { CreateNetworkRequest } from "./contract.js";
import {
  defineLan,
  isLanDriver,
  requireFitting,
  requireParent,
  type LanDriver,
  type ParentFacts,
} from "./define-lan.js";
import { isOnDhcp } from "./define-dhcp.js";
import { defineNdpProxy, type ProxyLinkFacts } from "./define-ndp.js";
import { requireAddress } from "./require-address.js";
import { specialSubnets } from "./taken.js";
import type { NetworkRecord, SubnetRecord } from "./records.js";

export interface NetworkGround {
  readonly id: string;
  readonly created: string;
  readonly pools: Readonly<Record<Family, readonly AddressPool[]>>;
  readonly taken: readonly Taken[];
  /** Of the link through which the host leaves. */
  readonly uplinkMtu: number;
  /** Of the bridge that is asked for, if there is one of that name. */
  readonly bridge: BridgeFacts | undefined;
  readonly bridgesInUse: ReadonlyMap<string, string>;
  /** As {@link defineLan} has them. */
  readonly parent: ParentFacts | undefined;
  readonly parents: readonly string[];
  /** The link that is asked for to answer for its endpoints, if there is one. */
  readonly proxyLink?: ProxyLinkFacts | undefined;
  readonly others?: Iterable<NetworkRecord>;
}

/** A link of the host that may become a network's bridge. */
export interface BridgeFacts {
  readonly kind: string | undefined;
  /** `10.0.0.1/24`, of both families. */
  readonly addresses: readonly string[];
  readonly mtu: number;
  /** Docker gives addresses out on it. */
  readonly isDockers: boolean;
}

const mtuAtLeast = { ipv4: 68, ipv6: 1280 } as const; // RFC 791, RFC 8200
const mtuAtMost = 65_535;

/** The network that a request comes to. Throws when it cannot be; nothing is done yet. */
export function defineNetwork(request: CreateNetworkRequest, ground: NetworkGround): NetworkRecord {
  const { name, driver } = request;
  requireFitting(request);
  if (isLanDriver(driver)) return defineLanNetwork({ ...request, driver }, ground);
  if (driver === "pair") return definePair(request, ground);
  if (driver !== "bridge")
    throw new PontoonError(
      "DRIVER_UNKNOWN",
      driver,
      `there is no network driver ${driver}; pontoon's own networks have the driver bridge, overlay, macvlan, ipvlan or pair`,
    );
  const bridge = request.bridge ?? `pt-${ground.id.slice(0, 12)}`;
  requireBridgeName(bridge, ground);
  const addresses = ground.bridge?.addresses ?? [];
  const subnets = subnetsOf(request, ground, addresses, addresses.map(withoutPrefix));
  return {
    id: ground.id,
    name,
    created: ground.created,
    bridge,
    isAdopted: ground.bridge !== undefined,
    subnets,
    internal: request.internal,
    icc: request.icc,
    masquerade: request.masquerade,
    snatAddresses: request.snatAddresses.map((ip) => requireAddress(ip, "--snat-address")),
    mtu: mtuOf(request, ground.bridge?.mtu ?? ground.uplinkMtu, subnets),
    ...(request.hostBinding !== undefined && { hostBinding: requireAddress(request.hostBinding, "--host-binding") }),
    // On a bridge of somebody else's their rules count.
    firewall: request.firewall && ground.bridge === undefined,
    ...defineNdpProxy(request, subnets, ground.proxyLink, ground.others ?? []),
    labels: request.labels,
  };
}

function definePair(request: CreateNetworkRequest, ground: NetworkGround): NetworkRecord {
  if (request.subnets.length === 0)
    throw new PontoonError(
      "SUBNET_NEEDED",
      request.name,
      "a pair has the subnet that is given to it; name it with --subnet",
    );
  const subnets = subnetsOf(request, ground, [], []);
  return {
    id: ground.id,
    name: request.name,
    created: ground.created,
    bridge: `pt-${ground.id.slice(0, 12)}`,
    pair: true,
    isAdopted: false,
    subnets,
    internal: true,
    icc: true,
    masquerade: false,
    snatAddresses: [],
    mtu: mtuOf(request, ground.uplinkMtu, subnets),
    firewall: false,
    labels: request.labels,
  };
}

function defineLanNetwork(
  request: CreateNetworkRequest & { readonly driver: LanDriver },
  ground: NetworkGround,
): NetworkRecord {
  const { parent: facts, parents } = ground;
  const parent = requireParent(request, parents, facts);
  const addresses = facts?.addresses ?? [];
  const isLent = isOnDhcp(request);
  if (!isLent && request.subnets.length === 0 && addresses.length === 0)
    throw new PontoonError(
      "SUBNET_NEEDED",
      parent,
      `${parent} has no address that tells which subnet its LAN has; name it with --subnet, or have addresses lent there with --ipam dhcp`,
    );
  const subnets = isLent ? [] : subnetsOf(request, ground, addresses, facts?.gateways ?? []);
  for (const { subnet } of subnets) requireFree(Subnet.parse(subnet), ground.taken); // each network gives its addresses out by itself
  const parentMtu = facts?.mtu ?? ground.uplinkMtu;
  if (request.mtu !== undefined && request.mtu > parentMtu)
    throw new PontoonError(
      "MTU_INVALID",
      String(request.mtu),
      `an MTU of ${request.mtu} bytes cannot be: ${parent} has ${parentMtu}, and nothing larger leaves by it`,
    );
  return {
    id: ground.id,
    name: request.name,
    created: ground.created,
    bridge: `pt-${ground.id.slice(0, 12)}`,
    lan: defineLan(request, parents, facts, subnets),
    isAdopted: false,
    subnets,
    internal: request.internal,
    icc: true,
    masquerade: false,
    snatAddresses: [],
    mtu: mtuOf(request, parentMtu, subnets),
    firewall: false,
    labels: request.labels,
  };
}

function requireBridgeName(bridge: string, { bridge: facts, bridgesInUse }: NetworkGround): void {
  // Of a name with % the kernel makes another.
  if (!isLinkName(bridge) || bridge.includes("%"))
    throw new PontoonError(
      "LINK_NAME_INVALID",
      bridge,
      `${bridge} cannot be a link's name; it has 1 to 15 bytes, without spaces, /, : and %`,
    );
  const user = bridgesInUse.get(bridge);
  if (user !== undefined)
    throw new PontoonError(
      "BRIDGE_TAKEN",
      bridge,
      `the bridge ${bridge} belongs to network ${user} already; choose another name`,
    );
  if (facts && facts.kind !== "bridge")
    throw new PontoonError("BRIDGE_TAKEN", bridge, `the host's link ${bridge} is not a bridge; choose another name`);
}

/**
 * @param addresses of a link that is there before: its subnets are the network's where none are given
 * @param usual gateways that are not named may be these
 */
export function subnetsOf(
  request: CreateNetworkRequest,
  ground: NetworkGround,
  addresses: readonly string[],
  usual: readonly string[],
): SubnetRecord[] {
  const given = request.subnets.map((text) => Subnet.parse(text));
  const adopted = addresses.map(subnetOfInterface);
  for (const [index, subnet] of given.entries()) {
    if (adopted.some((other) => other.text === subnet.text)) continue;
    requireRoom(subnet);
    requireFree(subnet, [...specialSubnets, ...ground.taken]);
    requireFree(
      subnet,
      given.slice(0, index).map((other) => ({ subnet: other, by: "the same network" })),
    );
  }
  const chosen = [...(given.length > 0 ? given : adopted)];
  const has = (family: Family) => chosen.some((subnet) => subnet.family === family);
  if (!has("ipv4") && given.length === 0) chosen.unshift(chooseSubnet(ground.pools.ipv4, ground.taken));
  if (request.ipv6 && !has("ipv6")) chosen.push(chooseSubnet(ground.pools.ipv6, ground.taken));
  const gateways = request.gateways.map((ip) => requireAddress(ip, "--gateway"));
  const ranges = request.ipRanges.map((text) => Subnet.parse(text));
  const subnets = chosen.map((subnet) => subnetRecordOf(subnet, gateways, ranges, usual));
  const isOf = (test: (subnet: Subnet) => boolean) => chosen.some(test);
  const strayGateway = gateways.find((ip) => !isOf((subnet) => subnet.contains(ip)));
  if (strayGateway !== undefined)
    throw new PontoonError(
      "GATEWAY_OUTSIDE",
      strayGateway,
      `the gateway ${strayGateway} is in none of the network's subnets (${listed(chosen)})`,
    );
  const strayRange = ranges.find((range) => !isOf((subnet) => subnet.encloses(range)));
  if (strayRange)
    throw new PontoonError(
      "RANGE_OUTSIDE",
      strayRange.text,
      `the range ${strayRange.text} is in none of the network's subnets (${listed(chosen)})`,
    );
  return subnets;
}

/** For a gateway and an endpoint. */
function requireRoom({ text, usable }: Subnet): void {
  if (usable.last > usable.first) return;
  throw new PontoonError(
    "SUBNET_TOO_SMALL",
    text,
    `${text} has no room for a gateway and a sandbox; choose a larger subnet`,
  );
}

function subnetRecordOf(
  subnet: Subnet,
  gateways: readonly string[],
  ranges: readonly Subnet[],
  usual: readonly string[],
): SubnetRecord {
  const own = usual.find((ip) => subnet.contains(ip));
  const gateway = gateways.find((ip) => subnet.contains(ip)) ?? own ?? subnet.first;
  const ipRange = ranges.find((range) => subnet.encloses(range));
  new AddressAllocator({ subnet, ipRange, reserved: [{ address: gateway, owner: "the gateway" }] }); // refuses what cannot be
  return { subnet: subnet.text, gateway, ...(ipRange && { ipRange: ipRange.text }) };
}

function mtuOf({ mtu }: CreateNetworkRequest, usual: number, subnets: readonly SubnetRecord[]): number {
  if (mtu === undefined) return usual;
  const least = Math.max(mtuAtLeast.ipv4, ...subnets.map(({ subnet }) => mtuAtLeast[familyOf(subnet)]));
  if (mtu >= least && mtu <= mtuAtMost) return mtu;
  throw new PontoonError(
    "MTU_INVALID",
    String(mtu),
    `an MTU of ${mtu} bytes cannot be; give one from ${least} to ${mtuAtMost}`,
  );
}

function withoutPrefix(address: string): string {
  return address.split("/")[0]!;
}

function subnetOfInterface(text: string): Subnet {
  const [ip, prefix] = text.split("/") as [string, string];
  return Subnet.around(ip, Number(prefix));
}

function listed(subnets: readonly Subnet[]): string {
  return subnets.map(({ text }) => text).join(", ");
}
