import { familyOf, isLoopback, isUnspecified } from "../../common/address.js";
import { rangeOf, isInside, type AddressRange } from "./ranges.js";

/** The bit of the packet mark that what pontoon lets pass has from the forward hook on, so that one rule in somebody else's chain can accept it. */
export const PASS_MARK = 0x01000000;
/** The bit of the connection mark of connections that go to a published port by way of the kernel. */
export const PUBLISHED_MARK = 0x01000000;
/** The group (`IFLA_GROUP`) of host ends of endpoints whose network has `icc` off: only what links allow passes between two of them. */
export const QUIET_GROUP = 0x706e;

/** A network whose bridge is pontoon's. Subnets of two networks do not overlap. */
export interface FirewallNetwork {
  readonly name: string;
  /** The bridge's link, up to 15 bytes. */
  readonly bridge: string;
  /** `10.1.0.0/24`, `fd00:1::/64`. */
  readonly subnets: readonly string[];
  /** Nothing comes in or goes out. */
  readonly internal: boolean;
  /** Whether its endpoints reach each other; if not, their host ends belong to {@link QUIET_GROUP}. */
  readonly icc: boolean;
  /** What leaves has an address of the host. */
  readonly masquerade: boolean;
  /** A link of the host by which whoever is there reaches endpoints at their own IPv6 addresses, with which they leave, too. */
  readonly reachedBy?: string;
  /** What leaves has this address, of its family, whether or not there is `masquerade`. */
  readonly snat?: { readonly ipv4?: string; readonly ipv6?: string };
}

/** A published port that the kernel forwards. */
export interface KernelForward {
  /** What it belongs to, for people who list the rules: `sandbox web`. */
  readonly owner: string;
  readonly transport: "tcp" | "udp";
  /** An address of the host; undefined, or the unspecified one, for any. Of two forwards, at one address and at any, the first counts there. */
  readonly ip: string | undefined;
  readonly port: number;
  readonly to: { readonly ip: string; readonly port: number };
  /** CIDRs; for others the kernel does not forward. Undefined: for everybody. */
  readonly sources?: readonly string[];
}

/** An exposed port that a linking endpoint reaches where `icc` is off. */
export interface LinkAccept {
  readonly owner: string;
  /** Address of the endpoint that has the link. */
  readonly from: string;
  readonly to: string;
  readonly transport: "tcp" | "udp";
  readonly port: number;
}

/** What the firewall is to do. */
export interface FirewallWanted {
  readonly networks: readonly FirewallNetwork[];
  readonly forwards: readonly KernelForward[];
  readonly links: readonly LinkAccept[];
  /** Bridges of Docker's: nothing passes between them and pontoon's, except to published ports. */
  readonly others: readonly string[];
  /**
   * IP's rules are asked about what is bridged, too (`bridgesAreFiltered`). The kernel would then bridge what a sandbox sends
   * to a port that is published on its own network, which never gets back to where it came from: so published ports are
   * left to the proxy's socket for all that comes from a bridge.
   */
  readonly bridgesFiltered: boolean;
  readonly overlays: readonly FirewallOverlay[];
  readonly tunnel?: UnderlayTunnel;
}

/** How packets of an overlay network come to this host. */
export interface FirewallOverlay {
  readonly name: string;
  readonly vni: number;
  /** Of UDP. Another's networks at the same port are left alone. */
  readonly port: number;
  /** They come by the tunnel; what comes by another link is dropped. */
  readonly isEncrypted?: boolean | undefined;
  /**
   * From whom: addresses of other hosts that are on it, of either family, those in the tunnel for an encrypted one. What anybody
   * else sends for it is dropped.
   */
  readonly peers: readonly string[];
}

/** How packets of encrypted networks come. Nothing else comes in by its link. */
export interface UnderlayTunnel {
  readonly link: string;
  /** Of UDP: where others reach it. */
  readonly port: number;
  /** Their addresses on the underlay. What anybody else sends there is left to the host's own rules: it is not answered without a key. */
  readonly hosts: readonly string[];
}

/** Where nothing may be forwarded to. */
export function internalRanges(networks: readonly FirewallNetwork[]): AddressRange[] {
  return networks.filter(({ internal }) => internal).flatMap(({ subnets }) => subnets.map(rangeOf));
}

/**
 * Whether the kernel can forward it: not at loopback or link-local addresses, not from one family to the other, and not into
 * internal networks. What it cannot, the firewall leaves out; the proxy's socket serves it alone.
 * @param internal from {@link internalRanges}
 */
export function canForward({ ip, to }: KernelForward, internal: readonly AddressRange[]): boolean {
  if (ip !== undefined && (isLoopback(ip) || ip.includes("%") || familyOf(ip) !== familyOf(to.ip))) return false;
  return !isLoopback(to.ip) && !isUnspecified(to.ip) && !internal.some((range) => isInside(to.ip, range));
}
