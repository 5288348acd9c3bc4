import { existsSync, readdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { addressesOf, mainTable, routesOf, type LinkAddress } from "../../linux/netlink/rtnetlink/addresses.js";
import { bridgesOf, linkNamed, linksOf, type Link } from "../../linux/netlink/rtnetlink/links.js";
import { Rtnetlink } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { aliasOf, isOurBridge } from "../../network/wanted.js";
import { isDockersBridge } from "../../network/docker-bridges.js";
import { Subnet } from "../../network/addresses/subnet.js";
import type { CreateNetworkRequest } from "./contract.js";
import { answersForOthers } from "../../linux/network-settings.js";
import type { ProxyLinkFacts } from "./define-ndp.js";
import { isOfInternet } from "./prefix-subnets.js";
import type { ParentFacts } from "./define-lan.js";
import type { BridgeFacts } from "./define-network.js";
import type { SubnetUsers } from "./taken.js";

/** What a new network has to know of the host. */
export interface HostFacts extends Pick<SubnetUsers, "routes" | "resolvers"> {
  /** Always the same on this host, and another on others. */
  readonly seed: string;
  readonly uplinkMtu: number;
  readonly bridge: BridgeFacts | undefined;
  /** Of the link that is asked for as a parent, or of the one that it is to be a VLAN of. */
  readonly parent: ParentFacts | undefined;
  /** Links of the host that can be parents. */
  readonly parents: readonly string[];
  readonly proxyLink: ProxyLinkFacts | undefined;
}

const usualMtu = 1500;
const sysLinks = "/sys/class/net";

/** @param dockerBridges as far as Docker has told */
export function hostFacts(
  { bridge, parent, ndpProxy }: Pick<CreateNetworkRequest, "bridge" | "parent" | "ndpProxy">,
  dockerBridges: readonly string[] = [],
): HostFacts {
  const rtnetlink = new Rtnetlink();
  try {
    const links = linksOf(rtnetlink);
    const routes = routesOf(rtnetlink);
    const nameOf = (index: number | undefined) => links.find((link) => link.index === index)?.name ?? "";
    const way = routes.find(({ destination, table }) => destination.prefix === 0 && table === mainTable);
    const found = bridge === undefined ? undefined : links.find(({ name }) => name === bridge);
    // One that a network of ours has left, whose record is lost, is nobody else's.
    const link = found && isOurBridge(found) ? undefined : found;
    const addressesAt = (at: number) =>
      addressesOf(rtnetlink)
        .filter(({ index, isLinkLocal }) => index === at && !isLinkLocal)
        .map(({ ip, prefix }) => `${ip}/${prefix}`);
    const below = parentLink(links, parent);
    const leads = routes.find(({ destination, table }) => isEverywhere(destination) && table === mainTable);
    const answering = ndpProxy === "" ? nameOf(leads?.link) : ndpProxy;
    const proxy = links.find(({ name }) => name === answering && name !== "lo");
    return {
      seed: seedOfHost(),
      routes: routes.map((route) => ({ ...route, linkName: nameOf(route.link) })),
      resolvers: resolversOfHost(),
      uplinkMtu: links.find(({ index }) => index === way?.link)?.mtu ?? usualMtu,
      bridge: link && {
        kind: link.kind,
        mtu: link.mtu,
        isDockers: isDockersBridge(link.name) || dockerBridges.includes(link.name),
        addresses: addressesAt(link.index),
      },
      parent: below && {
        vlan: below.vlan,
        mtu: below.link.mtu,
        addresses: below.vlan === undefined ? addressesAt(below.link.index) : [],
        gateways: routes.flatMap(({ destination, gateway, link: by }) =>
          destination.prefix === 0 && by === below.link.index && gateway !== undefined ? [gateway] : [],
        ),
      },
      proxyLink: proxy && {
        name: proxy.name,
        addresses: addressesAt(proxy.index).map((address) => address.split("/")[0]!),
        isOn: answersForOthers(proxy.name),
      },
      parents: links
        .filter(({ name, master, alias }) => name !== "lo" && master === undefined && !isOnOurSide(alias))
        .map(({ name }) => name),
    };
  } finally {
    rtnetlink.close();
  }
}

/** The default route of IPv6. */
function isEverywhere({ ip, prefix }: { readonly ip: string; readonly prefix: number }): boolean {
  return ip === "::" && prefix === 0;
}

/** Whether it is a network's own: not the link by which this host is a sandbox of another daemon's. */
function isOnOurSide(alias = ""): boolean {
  return /^pontoon (engine-)?(network|endpoint|shaper) /.test(alias);
}

/** A link by its name, or the one that it is to be a VLAN of: `eth0.10` of `eth0`, also where another network had that made. */
function parentLink(links: readonly Link[], name: string | undefined) {
  const link = links.find((each) => each.name === name);
  if (link && link.alias !== aliasOf.vlan(link.name)) return { link, vlan: undefined };
  const [, of = "", id] = /^(.+)\.(\d{1,4})$/.exec(name ?? "") ?? [];
  const base = links.find((each) => each.name === of);
  return base && Number(id) >= 1 && Number(id) <= 4094 ? { link: base, vlan: { of, id: Number(id) } } : undefined;
}

/** Whether an earlier daemon has left a network whose record is lost. */
export function hasLeftNetworks(): boolean {
  const rtnetlink = new Rtnetlink();
  try {
    if (bridgesOf(rtnetlink).some(isOurBridge)) return true;
    // Access links are no bridges; a list of all links takes long where there are many.
    const isOurs = (link: Link) => isOurBridge(link) || link.alias === aliasOf.tunnel;
    return hasLinksLikeOurs() && linksOf(rtnetlink).some(isOurs);
  } finally {
    rtnetlink.close();
  }
}

/** IPv6 prefixes of a link's addresses, those of the internet before those of a site; deprecated ones only where there are no others. */
export function prefixesOf(link: string): Subnet[] {
  return ipv6On(link).map(({ ip, prefix }) => Subnet.around(ip, prefix));
}

/** A link's own IPv6 addresses, as in {@link prefixesOf}. */
export function ipv6On(name: string): LinkAddress[] {
  const rtnetlink = new Rtnetlink();
  try {
    const link = linkNamed(rtnetlink, name);
    const own = addressesOf(rtnetlink).filter(
      ({ index, ip, prefix, isLinkLocal }) => index === link?.index && !isLinkLocal && ip.includes(":") && prefix <= 64,
    );
    const fresh = own.filter(({ isDeprecated }) => !isDeprecated);
    const rank = ({ ip }: LinkAddress) => (isOfInternet(ip) ? 0 : 1);
    return (fresh.length > 0 ? fresh : own).sort((one, other) => rank(one) - rank(other));
  } finally {
    rtnetlink.close();
  }
}

/** MTU of the host's link that has an address; the usual one where none has. */
export function mtuTowards(address: string): number {
  const rtnetlink = new Rtnetlink();
  try {
    const index = addressesOf(rtnetlink).find(({ ip }) => ip === address)?.index;
    return linksOf(rtnetlink).find((link) => link.index === index)?.mtu ?? usualMtu;
  } finally {
    rtnetlink.close();
  }
}

/** The address by which the host leaves: that of the link of its default route, IPv4 first. Undefined where there is none. */
export function uplinkAddress(): string | undefined {
  const rtnetlink = new Rtnetlink();
  try {
    const ways = routesOf(rtnetlink).filter(
      ({ destination, table }) => destination.prefix === 0 && table === mainTable,
    );
    const own = addressesOf(rtnetlink).filter(({ isLinkLocal }) => !isLinkLocal);
    const found = ways.flatMap(({ link, destination }) =>
      own.filter(({ index, ip }) => index === link && ip.includes(":") === destination.ip.includes(":")),
    );
    return found.sort((one, other) => Number(one.ip.includes(":")) - Number(other.ip.includes(":")))[0]?.ip;
  } finally {
    rtnetlink.close();
  }
}

/** All addresses of the host. */
export function hostAddresses(): string[] {
  const rtnetlink = new Rtnetlink();
  try {
    return addressesOf(rtnetlink).map(({ ip }) => ip);
  } finally {
    rtnetlink.close();
  }
}

/** Names of the host's links. */
export function linkNames(): Set<string> {
  const rtnetlink = new Rtnetlink();
  try {
    return new Set(linksOf(rtnetlink).map(({ name }) => name));
  } finally {
    rtnetlink.close();
  }
}

/** As machine-id(5) has it, where there is one. */
function seedOfHost(): string {
  try {
    return readFileSync("/etc/machine-id", "utf8").trim() || hostname();
  } catch {
    return hostname();
  }
}

function resolversOfHost(): string[] {
  try {
    const words = readFileSync("/etc/resolv.conf", "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/));
    return words.filter(([word]) => word === "nameserver").flatMap(([, ip]) => (ip === undefined ? [] : [ip]));
  } catch {
    return []; // a host without one
  }
}

// Of names alone, /sys tells without the kernel's lock for links, which others may hold.

/** Whether a link of the host is called as bridges of networks are, whoever made it. */
export function hasLinksLikeOurs(): boolean {
  try {
    return readdirSync(sysLinks).some((name) => name.startsWith("pt-"));
  } catch {
    return true; // without /sys it has to be looked at
  }
}

/** Whether the host has a link of that name. */
export function hasLink(name: string): boolean {
  return existsSync(`${sysLinks}/${name}`);
}
