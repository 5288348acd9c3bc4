import { familyOf } from "../../common/address.js";
import { PontoonError } from "../../common/errors.js";
import { clientIdOf } from "../../network/dhcp/client-id.js";
import type { ConnectRequest, CreateNetworkRequest } from "./contract.js";
import type { ParentFacts } from "./define-lan.js";
import type { LanRecord, NetworkRecord, SandboxRecord } from "./records.js";
import { requireAddress } from "./require-address.js";

const ipams = ["default", "dhcp"] as const;

export function isOnDhcp({ ipam }: Pick<CreateNetworkRequest, "ipam">): boolean {
  return ipam === "dhcp";
}

/** Throws IPAM_UNKNOWN, and OPTION_UNFIT for what is the server's to say. */
export function requireIpam(request: CreateNetworkRequest): void {
  const { ipam = "default", driver, subnets, gateways, ipRanges, ipv6 } = request;
  if (!(ipams as readonly string[]).includes(ipam))
    throw new PontoonError("IPAM_UNKNOWN", ipam, `there is no --ipam ${ipam}; it is ${ipams.join(" or ")}`);
  if (ipam !== "dhcp") return;
  if (driver !== "macvlan" && driver !== "ipvlan")
    throw new PontoonError(
      "OPTION_UNFIT",
      "--ipam",
      `a network with the driver ${driver} has no --ipam dhcp: DHCP is for networks on a LAN, macvlan and ipvlan`,
    );
  const options = { "--subnet": subnets, "--gateway": gateways, "--ip-range": ipRanges };
  const [option] = Object.entries(options).find(([, given]) => given.length > 0) ?? (ipv6 ? ["--ipv6"] : []);
  if (option === undefined) return;
  const why =
    option === "--ipv6"
      ? "only IPv4 addresses are asked for"
      : "the LAN's DHCP server says which addresses and router there are";
  throw new PontoonError("OPTION_UNFIT", option, `--ipam dhcp goes without ${option}: ${why}; leave out one of them`);
}

/** Of the host's own link there, which asks no server. Throws MODE_INVALID, HOST_ADDRESS_NEEDED, ADDRESS_UNUSABLE. */
export function dhcpHostAddresses(
  { hostAddresses }: Pick<CreateNetworkRequest, "hostAddresses">,
  { kind, mode }: LanRecord["child"],
  facts: ParentFacts | undefined,
): string[] {
  if (kind === "ipvlan" && mode !== "l2")
    throw new PontoonError(
      "MODE_INVALID",
      mode,
      `with ipvlan's mode ${mode} nothing is broadcast; --ipam dhcp needs l2`,
    );
  if (hostAddresses === undefined) return [];
  const own = hostAddresses.map((ip) => requireAddress(ip, "--host-address"));
  if (own.length === 0)
    throw new PontoonError(
      "HOST_ADDRESS_NEEDED",
      "--host-access",
      "with --ipam dhcp no address can be chosen for the host's own link; name one with --host-address that the LAN's server lends to nobody",
    );
  const unfit = own.find((ip) => familyOf(ip) !== "ipv4" || facts?.addresses.some((each) => each.split("/")[0] === ip));
  if (unfit === undefined && own.length === 1) return own;
  throw new PontoonError(
    "ADDRESS_UNUSABLE",
    unfit ?? own[1]!,
    `the host's own link has one IPv4 address with --ipam dhcp, which the host does not have yet; ${unfit ?? own.join(" and ")} cannot be`,
  );
}

/** Throws OPTION_UNFIT for an address that is named where a server lends them. */
export function requireNoAddress({ name, lan }: NetworkRecord, { ips }: Pick<ConnectRequest, "ips">): void {
  if (lan?.dhcp !== true || ips.length === 0) return;
  throw new PontoonError(
    "OPTION_UNFIT",
    "--ip",
    `on network ${name} the LAN's DHCP server lends addresses; leave out --ip, or have the server keep ${ips[0]} for a --mac`,
  );
}

/**
 * What servers and neighbours know an endpoint by, hexadecimal, and a MAC address for it: the same whenever a sandbox returns to the
 * network, and whenever an engine starts a container anew.
 */
export function dhcpIdentity(
  { id: network }: Pick<NetworkRecord, "id">,
  { id, namespace }: Pick<SandboxRecord, "id" | "namespace">,
): { clientId: string; mac: string } {
  const attached = namespace.kind === "adopted" ? namespace.attached : undefined;
  const who = attached ? `${attached.engine} ${attached.container}` : `sandbox ${id}`;
  const clientId = clientIdOf(`${who} on ${network}`).toString("hex");
  // Locally administered, and of one station.
  return { clientId, mac: `06:${clientId.slice(-10).match(/../g)!.join(":")}` };
}
