import { isLinkName } from "../../common/link-name.js";
import { PontoonError } from "../../common/errors.js";
import { macOf } from "../../network/addresses/mac.js";
import { parseBandwidth, requireHostEnd } from "./bandwidth.js";
import type { ConnectRequest } from "./contract.js";
import type { GivenAddresses } from "./network-addresses.js";
import type { BandwidthRecord, EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { dhcpIdentity } from "./define-dhcp.js";
import { hasOwnMac } from "./wanted.js";

/** Of a user, or of a container engine, which has its own name for the network. */
export type EndpointRequest = Omit<ConnectRequest, "bandwidth"> & {
  readonly attachment?: string;
  /** As its user has written it, or as an engine has said. */
  readonly bandwidth?: string | BandwidthRecord;
};

/** The endpoint that a request comes to. Throws when it cannot be; nothing is done yet. */
export function defineEndpoint(
  request: EndpointRequest,
  registry: Registry,
  known: {
    readonly network: NetworkRecord;
    readonly sandbox: SandboxRecord;
    readonly given: GivenAddresses;
    readonly id: string;
  },
): EndpointRecord {
  const { network, sandbox, given, id } = known;
  const lent = network.lan?.dhcp ? dhcpIdentity(network, sandbox) : undefined;
  const inUse = registry.endpointsOf({ sandbox: sandbox.id }).map(({ ifname }) => ifname);
  return {
    id,
    network: network.id,
    sandbox: sandbox.id,
    hostLink: `ptv${id.slice(0, 12)}`,
    ifname: linkNameOf(request, sandbox, inUse),
    mac: chosenMac(request, network, lent?.mac ?? macOfAddress(given, network)),
    ...given,
    ...(lent && { clientId: lent.clientId }),
    aliases: request.aliases,
    links: request.links.map((text) => linkOf(text)),
    gatewayPriority: request.gatewayPriority,
    ...limitOf(request, network),
    ...(request.attachment !== undefined && { attachment: request.attachment }),
  };
}

function limitOf({ bandwidth }: EndpointRequest, network: NetworkRecord): Pick<EndpointRecord, "bandwidth"> {
  if (bandwidth === undefined) return {};
  requireHostEnd(network);
  return { bandwidth: typeof bandwidth === "string" ? parseBandwidth(bandwidth) : bandwidth };
}

/** The first name that no other link of the sandbox has. */
export function freeLinkName(prefix: string, inUse: readonly string[]): string {
  let number = 0;
  while (inUse.includes(`${prefix}${number}`)) number++;
  return `${prefix}${number}`;
}

function linkNameOf({ ifname }: EndpointRequest, { name }: SandboxRecord, inUse: readonly string[]): string {
  if (ifname === undefined) return freeLinkName("eth", inUse);
  if (!isLinkName(ifname) || ifname.includes("%") || ["lo", "all", "default"].includes(ifname))
    throw new PontoonError(
      "LINK_NAME_INVALID",
      ifname,
      `${ifname} cannot be a link's name; it has 1 to 15 bytes, without spaces, /, : and %, and is not lo, all or default`,
    );
  if (inUse.includes(ifname))
    throw new PontoonError(
      "LINK_NAME_TAKEN",
      ifname,
      `sandbox ${name} has a link ${ifname} already; choose another name`,
    );
  return ifname;
}

/** "" for a link whose driver chooses, and where addresses are not known yet. */
function macOfAddress({ ipv4, ipv6 }: GivenAddresses, { remote }: NetworkRecord): string {
  const ip = ipv4 ?? ipv6;
  return remote || ip === undefined ? "" : macOf(ip);
}

/** @param usual one for which nobody has asked */
function chosenMac({ mac }: EndpointRequest, { name, lan }: NetworkRecord, usual: string): string {
  if (!lan || hasOwnMac(lan)) return mac === undefined ? usual : requireMac(mac);
  if (mac === undefined) return "";
  throw new PontoonError(
    "MAC_SHARED",
    mac,
    `on network ${name} every link has the MAC address of ${lan.parent}; leave out --mac`,
  );
}

function requireMac(mac: string): string {
  const isMac = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac);
  const isUnicast = isMac && (parseInt(mac.slice(0, 2), 16) & 1) === 0;
  if (isUnicast && !/^(00:){5}00$/.test(mac)) return mac.toLowerCase();
  throw new PontoonError("MAC_INVALID", mac, `${mac} is not the MAC address of a link; write it as 02:42:0a:59:00:02`);
}

function linkOf(text: string): [string, string] {
  const [target = "", alias = target, more] = text.split(":");
  const isName = (name: string) => /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(name);
  if (more === undefined && isName(target) && isName(alias)) return [target, alias];
  throw new PontoonError("LINK_INVALID", text, `${text} is not a link; write it as SANDBOX:ALIAS`);
}
