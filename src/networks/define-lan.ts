import { familyOf } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import { AddressAllocator } from "../../network/addresses/allocator.js";
import { Subnet } from "../../network/addresses/subnet.js";
import { ipvlanModes, macvlanModes } from "../../linux/netlink/rtnetlink/child-links.js";
import type { CreateNetworkRequest } from "./contract.js";
import { dhcpHostAddresses, isOnDhcp, requireIpam } from "./define-dhcp.js";
import type { LanRecord, SubnetRecord } from "./records.js";
import { requireAddress } from "./require-address.js";

/** The link of the host that a network is to be on. */
export interface ParentFacts {
  /** It is not there, but can be made of another link. */
  readonly vlan: { readonly of: string; readonly id: number } | undefined;
  readonly mtu: number;
  /** `192.0.2.7/24`, of both families. */
  readonly addresses: readonly string[];
  /** By which the host leaves by it. */
  readonly gateways: readonly string[];
}

export const lanDrivers = ["macvlan", "ipvlan"] as const;
export type LanDriver = (typeof lanDrivers)[number];

export function isLanDriver(driver: string): driver is LanDriver {
  return (lanDrivers as readonly string[]).includes(driver);
}

/** What a request says of one kind of network alone, as a user writes it. Throws OPTION_UNFIT. */
export function requireFitting(request: CreateNetworkRequest): void {
  const { driver, parent, mode, hostAddresses, icc, masquerade, snatAddresses, hostBinding, bridge } = request;
  const isPair = driver === "pair";
  const ofBridges = {
    "--icc": !icc,
    "--no-masquerade": !masquerade,
    "--snat-address": snatAddresses.length > 0,
    "--host-binding": hostBinding !== undefined,
    "--ndp-proxy": request.ndpProxy !== undefined,
    "--bridge-name": bridge !== undefined,
  };
  const ofLans = {
    "--parent": parent !== undefined,
    "--mode": mode !== undefined,
    "--host-access": hostAddresses !== undefined,
  };
  requireIpam(request);
  const unfit = { ...(isPair || isLanDriver(driver) ? ofBridges : {}), ...(isLanDriver(driver) ? {} : ofLans) };
  const [option] = Object.entries(unfit).find(([, isGiven]) => isGiven) ?? [];
  if (option === undefined) return;
  if (isPair)
    throw new PontoonError("OPTION_UNFIT", option, `a pair has no ${option}: it is one link between two sandboxes`);
  const what = isLanDriver(driver)
    ? "is on the LAN, where pontoon has neither a bridge nor rules"
    : `has a bridge of its own; ${lanDrivers.join(" and ")} networks are on a link of the host`;
  throw new PontoonError("OPTION_UNFIT", option, `a network with the driver ${driver} has no ${option}: it ${what}`);
}

/**
 * What a network is on in place of a bridge.
 * @param parents links that could be named
 * Throws PARENT_NEEDED, PARENT_UNKNOWN, MODE_INVALID, and what addresses of the host throw.
 */
export function defineLan(
  request: CreateNetworkRequest & { readonly driver: LanDriver },
  parents: readonly string[],
  facts: ParentFacts | undefined,
  subnets: readonly SubnetRecord[],
): LanRecord {
  const parent = requireParent(request, parents, facts);
  const child = childOf(request.driver, request.mode);
  const ground = { child, parent, ...(facts?.vlan && { vlan: facts.vlan }) };
  if (isOnDhcp(request))
    return { ...ground, hostAddresses: dhcpHostAddresses(request, child, facts), needsAddress: false, dhcp: true };
  return {
    ...ground,
    hostAddresses: request.hostAddresses ? hostAddressesOf(request.hostAddresses, subnets, facts?.addresses ?? []) : [],
    needsAddress: request.subnets.length + request.ipRanges.length === 0,
  };
}

/** @returns the parent's name */
export function requireParent(
  { driver, parent }: Pick<CreateNetworkRequest, "driver" | "parent">,
  parents: readonly string[],
  facts: ParentFacts | undefined,
): string {
  const choice = parents.length > 0 ? `, such as ${parents.slice(0, 5).join(", ")}` : "";
  if (parent === undefined)
    throw new PontoonError(
      "PARENT_NEEDED",
      driver,
      `a ${driver} network is on a link of the host's; name it with --parent${choice}`,
    );
  if (!facts)
    throw new PontoonError(
      "PARENT_UNKNOWN",
      parent,
      `the host has no link ${parent} to put a ${driver} network on; name one that it has${choice}`,
    );
  return parent;
}

function childOf(kind: LanDriver, mode: string | undefined): LanRecord["child"] {
  const modes: readonly string[] = kind === "macvlan" ? macvlanModes : ipvlanModes;
  const chosen = mode ?? modes[0]!;
  if (kind === "macvlan") {
    const found = macvlanModes.find((each) => each === chosen);
    if (found) return { kind, mode: found };
  } else {
    const found = ipvlanModes.find((each) => each === chosen);
    if (found) return { kind, mode: found };
  }
  throw new PontoonError("MODE_INVALID", chosen, `${kind} has no mode ${chosen}; it has ${modes.join(", ")}`);
}

/** One of each family: those that are given, or the first that are left. @param taken the parent's own, `192.0.2.7/24` */
function hostAddressesOf(
  given: readonly string[],
  subnets: readonly SubnetRecord[],
  taken: readonly string[],
): string[] {
  const wanted = given.map((ip) => requireAddress(ip, "--host-address"));
  const stray = wanted.find((ip) => !subnets.some(({ subnet }) => Subnet.parse(subnet).contains(ip)));
  if (stray !== undefined)
    throw new PontoonError(
      "ADDRESS_OUTSIDE",
      stray,
      `${stray} is in no subnet of the network (${subnets.map(({ subnet }) => subnet).join(", ")}); choose one of them`,
    );
  const families = new Map(
    subnets.map((record) => [familyOf(record.gateway), record] as const).reverse(), // the first of each counts
  );
  return [...families].reverse().map(([family, { subnet, gateway, ipRange }]) => {
    const allocator = new AddressAllocator({
      subnet: Subnet.parse(subnet),
      ipRange: ipRange === undefined ? undefined : Subnet.parse(ipRange),
      reserved: [
        { address: gateway, owner: "the gateway" },
        ...taken
          .map((address) => ({ address: address.split("/")[0]!, owner: "the parent" }))
          .filter(({ address }) => address !== gateway && Subnet.parse(subnet).contains(address)),
      ],
    });
    return allocator.assign(
      "the host",
      wanted.find((ip) => familyOf(ip) === family && Subnet.parse(subnet).contains(ip)),
    );
  });
}
