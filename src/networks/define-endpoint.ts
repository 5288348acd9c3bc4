import { isLinkName } from "../../common/link-name.js";
import { PontoonError } from "../../common/errors.js";
import { macOf } from "../../network/addresses/mac.js";
import type { ConnectRequest } from "./contract.js";
import type { GivenAddresses } from "./network-addresses.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";

/** The endpoint that a request comes to. Throws when it cannot be; nothing is done yet. */
export function defineEndpoint(
  request: ConnectRequest,
  registry: Registry,
  known: {
    readonly network: NetworkRecord;
    readonly sandbox: SandboxRecord;
    readonly given: GivenAddresses;
    readonly id: string;
  },
): EndpointRecord {
  const { network, sandbox, given, id } = known;
  const inUse = registry.endpointsOf({ sandbox: sandbox.id }).map(({ ifname }) => ifname);
  return {
    id,
    network: network.id,
    sandbox: sandbox.id,
    hostLink: `ptv${id.slice(0, 12)}`,
    ifname: linkNameOf(request, sandbox, inUse),
    mac: request.mac === undefined ? macOf(given.ipv4 ?? given.ipv6!) : requireMac(request.mac),
    ...given,
    aliases: request.aliases,
    links: request.links.map((text) => linkOf(text)),
    gatewayPriority: request.gatewayPriority,
  };
}

function linkNameOf({ ifname }: ConnectRequest, { name }: SandboxRecord, inUse: readonly string[]): string {
  if (ifname === undefined) for (let number = 0; ; number++) if (!inUse.includes(`eth${number}`)) return `eth${number}`;
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
