import { familyOf } from "../../common/address.js";
import type { SeenHost } from "../seen.js";
import type { Wanted, WantedNetwork } from "../wanted.js";
import type { Step } from "./steps.js";

// A network whose endpoints the LAN at a link of the host asks for by their IPv6 addresses: the host answers for each.

/** What has the link answer at all. Nothing, while it is not there: it may be plugged in later. */
export function planNdpLink({ ndpProxy }: WantedNetwork, host: SeenHost): Step[] {
  if (!ndpProxy || !host.links.has(ndpProxy.link) || host.answering.has(ndpProxy.link)) return [];
  return [{ kind: "answer-for-others", link: ndpProxy.link }];
}

/** @param ips of an endpoint on the network, of both families */
export function planNdpProxies({ ndpProxy }: WantedNetwork, ips: readonly string[], host: SeenHost): Step[] {
  const link = ndpProxy && host.links.get(ndpProxy.link);
  if (!link) return [];
  const isThere = (ip: string) => host.proxies.some((proxy) => proxy.link === link.index && proxy.ip === ip);
  return proxied(ips)
    .filter((ip) => !isThere(ip))
    .map((ip) => ({ kind: "add-proxy", link: link.name, ip }));
}

/** @param network undefined where it is gone, too */
export function planNdpProxyRemoval(
  network: WantedNetwork | undefined,
  ips: readonly string[],
  host: SeenHost,
): Step[] {
  const link = network?.ndpProxy && host.links.get(network.ndpProxy.link);
  if (!link) return [];
  const isThere = (ip: string) => host.proxies.some((proxy) => proxy.link === link.index && proxy.ip === ip);
  return proxied(ips)
    .filter(isThere)
    .map((ip) => ({ kind: "delete-proxy", link: link.name, ip }));
}

/** The link answers no more once no network has it do so, unless it did before. @param others networks that stay */
export function planNdpLinkRemoval(
  { ndpProxy }: Pick<WantedNetwork, "ndpProxy">,
  others: Iterable<WantedNetwork>,
  host: SeenHost,
): Step[] {
  if (!ndpProxy || ndpProxy.wasOn || !host.answering.has(ndpProxy.link)) return [];
  const isShared = [...others].some((other) => other.ndpProxy?.link === ndpProxy.link);
  return isShared ? [] : [{ kind: "end-answering", link: ndpProxy.link }];
}

/** What an earlier process has a link answer for, and nobody has any more. */
export function planLeftProxies(
  { links, proxies }: SeenHost,
  { networks, endpoints }: Pick<Wanted, "networks" | "endpoints">,
): Step[] {
  const names = new Map([...links.values()].map(({ index, name }) => [index, name]));
  const wanted = new Set(
    [...endpoints.values()].flatMap(({ network, addresses }) =>
      addresses.map(({ ip }) => `${networks.get(network)?.ndpProxy?.link} ${ip}`),
    ),
  );
  return proxies.flatMap(({ link, ip, isOurs }) => {
    const name = names.get(link);
    const isLeft = isOurs && name !== undefined && !wanted.has(`${name} ${ip}`);
    return isLeft ? [{ kind: "delete-proxy", link: name, ip } as const] : [];
  });
}

const proxied = (ips: readonly string[]) => ips.filter((ip) => familyOf(ip) === "ipv6");
