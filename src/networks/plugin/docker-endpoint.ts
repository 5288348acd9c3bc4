import { familyOf } from "../../../common/address.js";
import { PontoonError } from "../../../common/errors.js";
import { macOf } from "../../../network/addresses/mac.js";
import { Subnet } from "../../../network/addresses/subnet.js";
import { QUIET_GROUP } from "../../../network/firewall/wanted.js";
import { handedPrefix, type WantedHandover } from "../../../network/wanted.js";
import { requireHostEnd } from "../bandwidth.js";
import { hasOwnMac } from "../wanted.js";
import { bandwidthOf, linkNameOf, mappedPorts } from "./endpoint-options.js";
import type { CreateEndpointCall } from "./protocol.js";
import type { DockerEndpointRecord, DockerNetworkRecord } from "./records.js";

/** Unicast, and not all zeros. */
const macPattern = /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i;

/** The endpoint that a call comes to. Throws ENDPOINT_WITHOUT_ADDRESS, ADDRESS_OUTSIDE, MAC_INVALID, BANDWIDTH_UNFIT, and what its options throw. */
export function defineDockerEndpoint(
  { EndpointID: id, Interface, Options }: CreateEndpointCall,
  network: DockerNetworkRecord,
  since: number,
): DockerEndpointRecord {
  const addresses = [Interface.Address, Interface.AddressIPv6].flatMap((text) =>
    text === "" ? [] : [requireInside(text.split("/")[0]!, network)],
  );
  const [first] = addresses;
  if (first === undefined)
    throw new PontoonError(
      "ENDPOINT_WITHOUT_ADDRESS",
      id,
      `the container has no address on network ${network.name}: its IPAM driver gives none; use --ipam-driver default or pontoon`,
    );
  const ipv4 = addresses.find((ip) => familyOf(ip) === "ipv4");
  const ipv6 = addresses.find((ip) => familyOf(ip) === "ipv6");
  const ifname = linkNameOf(Options);
  const bandwidth = bandwidthOf(Options);
  if (bandwidth) requireHostEnd(network);
  return {
    id,
    network: network.id,
    hostLink: hostLinkOf(id),
    mac: chosenMac(Interface.MacAddress, network, first),
    ...(ipv4 !== undefined && { ipv4 }),
    ...(ipv6 !== undefined && { ipv6 }),
    since,
    ...(ifname !== undefined && { ifname }),
    ports: mappedPorts(Options),
    ...(bandwidth && { bandwidth }),
  };
}

function chosenMac(mac: string, { name, lan }: DockerNetworkRecord, ip: string): string {
  if (!lan || hasOwnMac(lan)) return mac === "" ? macOf(ip) : requireMac(mac);
  if (mac === "") return "";
  throw new PontoonError(
    "MAC_SHARED",
    mac,
    `on network ${name} every link has the MAC address of ${lan.parent}; leave out --mac-address`,
  );
}

function requireInside(ip: string, { name, lan, subnets }: DockerNetworkRecord): string {
  if (lan?.hostAddresses.includes(ip) === true)
    throw new PontoonError(
      "ADDRESS_TAKEN",
      ip,
      `${ip} is taken by the host on network ${name}; make the network with --aux-address host=${ip}, so that Docker gives it to nobody`,
    );
  if (subnets.some(({ subnet }) => Subnet.parse(subnet).contains(ip))) return ip;
  const listed = subnets.map(({ subnet }) => subnet).join(", ");
  throw new PontoonError("ADDRESS_OUTSIDE", ip, `${ip} is in no subnet of network ${name} (${listed})`);
}

function requireMac(mac: string): string {
  if (macPattern.test(mac) && !/^(00:){5}00$/.test(mac)) return mac.toLowerCase();
  throw new PontoonError("MAC_INVALID", mac, `${mac} is not the MAC address of a link; write it as 02:42:0a:59:00:02`);
}

/** The host's end. */
export const hostLinkOf = (id: string): string => `ptv${id.slice(0, 12)}`;

/** The container's end while it is on the host. */
export const peerOf = (id: string): string => `${handedPrefix}${id.slice(0, 12)}`;

/** What an endpoint that has joined means for the kernel. */
export function wantedHandover(
  { id, hostLink, mac, ipv4, ipv6, path = "", bandwidth }: DockerEndpointRecord,
  network: DockerNetworkRecord,
): WantedHandover {
  const group = network.firewall && !network.icc ? QUIET_GROUP : 0;
  return {
    id,
    network: network.shared ?? network.id,
    hostLink,
    peer: peerOf(id),
    mac: mac === "" ? undefined : mac,
    ips: [ipv4, ipv6].filter((ip) => ip !== undefined),
    mtu: network.mtu,
    group,
    path,
    ...(bandwidth && { bandwidth }),
  };
}

/** An endpoint that has left its namespace, or never got there. */
export function withoutPath(endpoint: DockerEndpointRecord): DockerEndpointRecord {
  const left = { ...endpoint };
  delete left.path;
  return left;
}

/** Where an endpoint leaves by: the network's own addresses in the subnets that it is in, or routers that were named. */
export function gatewaysOf(
  { ipv4, ipv6 }: DockerEndpointRecord,
  { subnets, routers }: DockerNetworkRecord,
): { ipv4?: string; ipv6?: string } {
  const gatewayOf = (ip: string | undefined) =>
    ip === undefined ? undefined : subnets.find(({ subnet }) => Subnet.parse(subnet).contains(ip))?.gateway;
  const [of4, of6] = [ipv4 && (routers.ipv4 ?? gatewayOf(ipv4)), ipv6 && (routers.ipv6 ?? gatewayOf(ipv6))];
  return { ...(of4 !== undefined && { ipv4: of4 }), ...(of6 !== undefined && { ipv6: of6 }) };
}
