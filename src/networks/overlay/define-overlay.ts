import { familyOf } from "../../../common/address.js";
import { PontoonError } from "../../../common/errors.js";
import type { SharedEndpoint, SharedNetwork } from "../../cluster/records.js";
import type { CreateNetworkRequest } from "../contract.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../records.js";

/** What VXLAN puts around a frame, bytes: its outer IP header, UDP, VXLAN's own header, and the inner Ethernet header (RFC 7348). */
const overhead = { ipv4: 20 + 8 + 8 + 14, ipv6: 40 + 8 + 8 + 14 } as const;
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

/** Throws OPTION_UNFIT, ENCRYPTION_MISSING for what an overlay network cannot have. */
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
  if (request.encrypted)
    throw new PontoonError(
      "ENCRYPTION_MISSING",
      request.name,
      "overlay networks cannot be encrypted by this version of pontoon, and what is asked to be is never carried in plain; join the " +
        "hosts with a VPN such as WireGuard, and give its address with --advertise",
    );
}

/** The MTU on an overlay network. Throws MTU_INVALID for one that does not fit. @param uplink of the link to other hosts */
export function overlayMtu(advertise: string, uplink: number, asked: number | undefined): number {
  const most = uplink - overhead[familyOf(advertise)];
  if (asked === undefined) return most;
  if (asked <= most) return asked;
  throw new PontoonError(
    "MTU_INVALID",
    String(asked),
    `an MTU of ${asked} bytes cannot be: the way to other hosts has ${uplink}, of which VXLAN needs ${uplink - most}; use ${most} or less`,
  );
}

/** A number at random: another host may choose at the same moment. */
export function chooseVni(): number {
  return firstVni + Math.floor(Math.random() * (vniAtMost - firstVni));
}

/** @param defined as a network with a bridge, on this host */
export function sharedNetwork(defined: NetworkRecord, vni: number): SharedNetwork {
  const { id, name, created, internal, masquerade, mtu, labels } = defined;
  const subnets = defined.subnets.map(({ subnet, gateway, ipRange }) => ({
    subnet,
    gateway,
    ...(ipRange !== undefined && { ipRange }),
  }));
  return { id, name, created, subnets, internal, masquerade, mtu, vni, labels };
}

/** What a network of the cluster is on this host. @param local this host's address on the underlay */
export function overlayRecord(network: SharedNetwork, local: string): NetworkRecord {
  const { id, name, created, subnets, internal, masquerade, mtu, vni, labels } = network;
  return {
    id,
    name,
    created,
    bridge: `pt-${id.slice(0, 12)}`,
    overlay: { link: `pvx-${id.slice(0, 10)}`, vni, port: vxlanPort, local },
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
