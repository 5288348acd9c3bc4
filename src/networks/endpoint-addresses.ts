import { addressBits, encodeIPv4, familyOf } from "../../common/address.js";
import { Subnet } from "../../network/addresses/subnet.js";
import type { LeasedRoute } from "../../network/dhcp/routes.js";
import type { EndpointRecord, NetworkRecord } from "./records.js";

/** An address of an endpoint. */
export interface EndpointAddress {
  readonly ip: string;
  readonly prefix: number;
  /** The way out; undefined where there is none. */
  readonly gateway: string | undefined;
}

/** Of both families: as the network has them, as they were lent, or as a driver has said. */
export function endpointAddresses(endpoint: EndpointRecord, { internal, subnets }: NetworkRecord): EndpointAddress[] {
  const { ipv4, ipv6, lease, remote } = endpoint;
  if (remote) {
    const gatewayFor = (ip: string) => remote.gateways.find((gateway) => familyOf(gateway) === familyOf(ip));
    return remote.addresses.map((address) => ({ ...address, gateway: internal ? undefined : gatewayFor(address.ip) }));
  }
  if (lease) {
    if (ipv4 === undefined) return [];
    return [{ ip: ipv4, prefix: lease.prefix, gateway: internal ? undefined : lease.router }];
  }
  return [ipv4, ipv6].flatMap((ip) => {
    const own = ip === undefined ? undefined : subnets.find(({ subnet }) => Subnet.parse(subnet).contains(ip));
    if (ip === undefined || !own) return [];
    return [{ ip, prefix: Subnet.parse(own.subnet).prefix, gateway: internal ? undefined : own.gateway }];
  });
}

/** Ways beside the way out. Gateways outside of the lent subnet are reached right over the link. */
export function leasedRoutes({ ipv4, lease }: EndpointRecord, { internal }: NetworkRecord): LeasedRoute[] {
  if (!lease || ipv4 === undefined || internal) return [];
  const gateways = [lease.router, ...lease.routes.map(({ gateway }) => gateway)];
  const outside = gateways.filter((ip) => ip !== undefined && !isInside(ip, ipv4, lease.prefix));
  const atHand = [...new Set(outside)].map((ip) => ({
    destination: { ip: ip!, prefix: addressBits.ipv4 },
  }));
  const isNew = ({ destination }: LeasedRoute) =>
    !atHand.some((other) => other.destination.ip === destination.ip && destination.prefix === addressBits.ipv4);
  return [...atHand, ...lease.routes.filter(isNew)];
}

function isInside(ip: string, own: string, prefix: number): boolean {
  const size = 2 ** (addressBits.ipv4 - prefix);
  const networkOf = (address: string) => Math.floor(encodeIPv4(address).readUInt32BE() / size);
  return networkOf(ip) === networkOf(own);
}
