import { addressesOf } from "../../linux/netlink/rtnetlink/addresses.js";
import { linksOf, type Link } from "../../linux/netlink/rtnetlink/links.js";
import { Rtnetlink } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import type { NetworkLinksAnswer } from "./contract.js";
import type { NetworkRecord } from "./records.js";
import type { Registry } from "./registry.js";

/** Bridges of networks with their ports, or the links of the host that they are on, as the kernel has them now. */
export function networkLinks(registry: Registry, networks: readonly NetworkRecord[]): NetworkLinksAnswer[] {
  const rtnetlink = new Rtnetlink();
  try {
    const links = linksOf(rtnetlink);
    const addresses = addressesOf(rtnetlink);
    const onHost = networks.filter(({ pair, remote }) => !pair && !remote);
    return onHost.map(({ name, bridge: own, lan }) => {
      const bridge = lan?.parent ?? own;
      const link = links.find((each) => each.name === bridge);
      return {
        network: name,
        bridge,
        id: link?.bridge?.id ?? null,
        stp: link?.bridge?.stp ?? null,
        mtu: link?.mtu ?? null,
        mac: link?.mac ?? null,
        up: link?.isUp ?? false,
        addresses: addresses.filter(({ index }) => index === link?.index).map(({ ip, prefix }) => `${ip}/${prefix}`),
        ports: links
          .filter(({ master }) => link && !lan && master === link.index)
          .map((port) => portOf(registry, port)),
      };
    });
  } finally {
    rtnetlink.close();
  }
}

/** What is at the other end is known of our own links only. */
function portOf(registry: Registry, { name, isUp, mtu }: Link): NetworkLinksAnswer["ports"][number] {
  const endpoint = [...registry.endpoints.values()].find(({ hostLink }) => hostLink === name);
  return {
    link: name,
    up: isUp,
    mtu,
    sandbox: endpoint ? (registry.sandboxes.get(endpoint.sandbox)?.name ?? null) : null,
    end: endpoint?.ifname ?? null,
    mac: endpoint?.mac ?? null,
    addresses: [endpoint?.ipv4, endpoint?.ipv6].filter((ip) => ip !== undefined),
  };
}
