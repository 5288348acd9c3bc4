import { PontoonError } from "../../../common/errors.js";
import type { CreateNetworkRequest } from "../contract.js";
import { subnetsOf, type NetworkGround } from "../define-network.js";
import { lanDrivers } from "../define-lan.js";
import { isFromPrefix } from "../prefix-subnets.js";
import type { IpamRecord, NetworkRecord } from "../records.js";
import { placesInWords, type PluginPlaces } from "./places.js";

const builtInDrivers: readonly string[] = ["bridge", ...lanDrivers, "pair"];
/** `null`: nobody gives addresses out, since the driver has its own. */
export const noIpam = "null";
const builtInIpam: readonly string[] = ["default", noIpam];

export const isRemoteDriver = (driver: string): boolean => !builtInDrivers.includes(driver);
export const isRemoteIpam = (driver: string): boolean => !builtInIpam.includes(driver);

/** Who gives a network's addresses. */
export function ipamOf({ ipamDriver = "default" }: Pick<CreateNetworkRequest, "ipamDriver">): string {
  return ipamDriver;
}

/** There is neither a driver nor a plugin of that name. */
export function driverUnknown(what: "network" | "IPAM", name: string, places: PluginPlaces): PontoonError {
  const known = what === "network" ? builtInDrivers : builtInIpam;
  const message =
    `there is no ${what} driver ${name}; pontoon's own are ${known.join(", ")}, and no plugin ${name} was found in ` +
    placesInWords(places);
  return new PontoonError("DRIVER_UNKNOWN", name, message);
}

/** Throws OPTION_UNFIT for options that count for other drivers than a request's. */
export function requirePluginOptions(request: CreateNetworkRequest): void {
  const { driver, options = {}, ipamOptions = {} } = request;
  const ipamDriver = ipamOf(request);
  const isRemote = isRemoteDriver(driver);
  if (isRemote) requireRemoteOptions(request);
  if (!isRemote && Object.keys(options).length > 0)
    throw unfit(
      "--opt",
      `a network with the driver ${driver} has no --opt: it is for drivers of plugins; pontoon's own have options by name`,
    );
  if (driver === "pair" && ipamDriver !== "default")
    throw unfit(
      "--ipam-driver",
      "a pair has no --ipam-driver: its two addresses are those of the subnet that is given to it",
    );
  if (isRemoteIpam(ipamDriver) && request.ipam === "dhcp")
    throw unfit(
      "--ipam",
      `addresses are given by --ipam-driver ${ipamDriver} or lent by DHCP; leave out one or the other`,
    );
  if (isRemoteIpam(ipamDriver) && request.hostAddresses !== undefined)
    throw unfit(
      "--host-access",
      `a network with --ipam-driver ${ipamDriver} has no --host-access: which address the host may have is the plugin's to say`,
    );
  if (!isRemote && ipamDriver === noIpam)
    throw unfit(
      "--ipam-driver",
      `a network with the driver ${driver} has no addresses but those that are given out; leave out --ipam-driver null`,
    );
  if (!isRemoteIpam(ipamDriver) && Object.keys(ipamOptions).length > 0)
    throw unfit("--ipam-opt", `the IPAM driver ${ipamDriver} has no options; --ipam-opt is for plugins`);
  if (ipamDriver === noIpam && request.subnets.length + request.gateways.length + request.ipRanges.length > 0)
    throw unfit(
      "--subnet",
      "a network with --ipam-driver null has no subnet: its driver gives the addresses; leave out one or the other",
    );
}

function requireRemoteOptions(request: CreateNetworkRequest): void {
  const { driver, icc, masquerade, snatAddresses, hostBinding, bridge, mtu, parent, mode, hostAddresses, ndpProxy } =
    request;
  const unknown = {
    "--icc": !icc,
    "--no-masquerade": !masquerade,
    "--snat-address": snatAddresses.length > 0,
    "--host-binding": hostBinding !== undefined,
    "--bridge-name": bridge !== undefined,
    "--mtu": mtu !== undefined,
    "--parent": parent !== undefined,
    "--mode": mode !== undefined,
    "--host-access": hostAddresses !== undefined,
    "--ndp-proxy": ndpProxy !== undefined,
    "--ipam": request.ipam !== undefined && request.ipam !== "default",
    "--subnet from:": request.subnets.some(isFromPrefix),
  };
  const [option] = Object.entries(unknown).find(([, isGiven]) => isGiven) ?? [];
  if (option !== undefined)
    throw unfit(
      option,
      `a network with the driver ${driver} has no ${option}: the plugin makes it; give it its own options with --opt`,
    );
}

function unfit(option: string, message: string): PontoonError {
  return new PontoonError("OPTION_UNFIT", option, message);
}

/** A network whose links a plugin makes. @param ground without routes of the host where a subnet is named: the host may be on it */
export function defineRemoteNetwork(request: CreateNetworkRequest, ground: NetworkGround): NetworkRecord {
  const { name, driver, options = {}, internal, labels } = request;
  return {
    id: ground.id,
    name,
    created: ground.created,
    bridge: `pt-${ground.id.slice(0, 12)}`,
    remote: { driver, options },
    isAdopted: false,
    subnets: ipamOf(request) === noIpam ? [] : subnetsOf(request, ground, [], []),
    internal,
    icc: true,
    masquerade: false,
    snatAddresses: [],
    mtu: 0,
    firewall: false,
    labels,
  };
}

/** Of a network whose driver has its own addresses. */
export const withoutPools: IpamRecord = { driver: noIpam, options: {}, needsMac: false, pools: [] };
