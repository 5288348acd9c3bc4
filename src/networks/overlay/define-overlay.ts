import { familyOf } from "../../../common/address.js";
import { PontoonError } from "../../../common/errors.js";
import type { HostRecord, SharedEndpoint, SharedNetwork } from "../../cluster/records.js";
import { encryptedAddress } from "../../cluster/wireguard.js";
import type { CreateNetworkRequest } from "../contract.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../records.js";

/** What VXLAN puts around a frame, bytes: its outer IP header, UDP, VXLAN's own header, and the inner Ethernet header (RFC 7348). */
const overhead = { ipv4: 20 + 8 + 8 + 14, ipv6: 40 + 8 + 8 + 14 } as const;
/** What WireGuard puts around a packet, bytes: its outer IP header, UDP, its own header of 16, and a tag of 16. */
const tunnelOverhead = { ipv4: 20 + 8 + 16 + 16, ipv6: 40 + 8 + 16 + 16 } as const;
/** IANA's port for VXLAN. */
const vxlanPort = 4789;
/** Docker's own overlay networks have numbers from 4096 on. */
const firstVni = 0x100000;
const vniAtMost = 0xffffff;

/** What counts for one host alone, and cannot be agreed on. */
const hostsOwn: readonly (readonly [keyof CreateNetworkRequest, string])[] = [
  ["bridge", "--bridge-name"],
  ["parent", "--parent"],
  ["mode", "--mode"],
  ["hostAddresses", "--host-access"],
  ["ndpProxy", "--ndp-proxy"],
  ["hostBinding", "--host-binding"],
  ["ipam", "--ipam"],
  ["ipamDriver", "--ipam-driver"],
];

/** Throws OPTION_UNFIT for what an overlay network cannot have. */
export function requireOverlayOptions(request: CreateNetworkRequest): void {
  const given = hostsOwn.find(([key]) => request[key] !== undefined);
  const unfit =
    given?.[1] ??
    (request.snatAddresses.length > 0 ? "--snat-address" : undefined) ??
    (request.icc ? undefined : "--icc=false") ??
    (request.firewall ? undefined : "--no-firewall") ??
    (request.subnets.some((subnet) => subnet.startsWith("from:")) ? "--subnet from:" : undefined);
  if (unfit !== undefined)
    throw new PontoonError(
      "OPTION_UNFIT",
      unfit,
      `${unfit} is for networks of one host, and an overlay network is the same on all of them; leave it out`,
    );
}

/** What is asked to be encrypted is never carried in plain. @param network its name */
export function encryptionMissing(network: string): PontoonError {
  return new PontoonError(
    "ENCRYPTION_MISSING",
    network,
    `this host has no WireGuard for the encrypted network ${network}, which is never carried in plain; load the kernel's module wireguard ` +
      "and restart the daemon, or name a program with wireguard.use in the configuration, such as /usr/bin/wireguard-go",
  );
}

/** The MTU on an overlay network. Throws MTU_INVALID for one that does not fit. @param uplink of the link to other hosts */
export function overlayMtu(
  advertise: string,
  uplink: number,
  { mtu: asked, encrypted = false }: Pick<CreateNetworkRequest, "mtu" | "encrypted">,
): number {
  const family = familyOf(advertise);
  // Addresses in the tunnel are of IPv6, whatever the underlay's are.
  const most = uplink - (encrypted ? tunnelOverhead[family] + overhead.ipv6 : overhead[family]);
  if (asked === undefined) return most;
  if (asked <= most) return asked;
  throw new PontoonError(
    "MTU_INVALID",
    String(asked),
    `an MTU of ${asked} bytes cannot be: the way to other hosts has ${uplink}, of which ` +
      `${encrypted ? "VXLAN and WireGuard need" : "VXLAN needs"} ${uplink - most}; use ${most} or less`,
  );
}

/** A number at random: another host may choose at the same moment. */
export function chooseVni(): number {
  return firstVni + Math.floor(Math.random() * (vniAtMost - firstVni));
}

/** @param defined as a network with a bridge, on this host */
export function sharedNetwork(defined: NetworkRecord, vni: number, isEncrypted = false): SharedNetwork {
  const { id, name, created, internal, masquerade, mtu, labels } = defined;
  const subnets = defined.subnets.map(({ subnet, gateway, ipRange }) => ({
    subnet,
    gateway,
    ...(ipRange !== undefined && { ipRange }),
  }));
  return { id, name, created, subnets, internal, masquerade, mtu, vni, labels, ...(isEncrypted && { isEncrypted }) };
}

/** Where packets of an overlay network come to a host; empty for an encrypted one on a host that takes none. */
export function localOf({ isEncrypted }: Pick<SharedNetwork, "isEncrypted">, host: HostRecord): string {
  return isEncrypted ? (encryptedAddress(host) ?? "") : host.advertise;
}

/** What a network of the cluster is on this host. */
export function overlayRecord(network: SharedNetwork, host: HostRecord): NetworkRecord {
  const { id, name, created, subnets, internal, masquerade, mtu, vni, labels, isEncrypted } = network;
  const local = localOf(network, host);
  return {
    id,
    name,
    created,
    bridge: `pt-${id.slice(0, 12)}`,
    overlay: { link: `pvx-${id.slice(0, 10)}`, vni, port: vxlanPort, local, ...(isEncrypted && { isEncrypted }) },
    isAdopted: false,
    subnets,
    internal,
    icc: true,
    masquerade,
    snatAddresses: [],
    mtu,
    firewall: true,
    labels,
  };
}

/** What hosts know of one another's endpoints. @param host this one's id */
export function sharedEndpoint(endpoint: EndpointRecord, sandbox: SandboxRecord, host: string): SharedEndpoint {
  const { id, network, aliases, ipv4, ipv6, mac } = endpoint;
  const { name, hostname, exposed } = sandbox;
  return {
    id,
    network,
    host,
    sandbox: sandbox.id,
    name,
    hostname,
    aliases,
    exposed: exposed.map(([port, transport]) => [port, transport]),
    ...(ipv4 !== undefined && { ipv4 }),
    ...(ipv6 !== undefined && { ipv6 }),
    mac,
  };
}
