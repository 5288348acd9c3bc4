import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { addressesOf, mainTable, routesOf } from "../../linux/netlink/rtnetlink/addresses.js";
import { bridgesOf, linksOf } from "../../linux/netlink/rtnetlink/links.js";
import { Rtnetlink } from "../../linux/netlink/rtnetlink/rtnetlink.js";
import { isOurBridge } from "../../network/wanted.js";
import { isDockersBridge } from "../../network/docker-bridges.js";
import type { BridgeFacts } from "./define-network.js";
import type { SubnetUsers } from "./taken.js";

/** What a new network has to know of the host. */
export interface HostFacts extends Pick<SubnetUsers, "routes" | "resolvers"> {
  /** Always the same on this host, and another on others. */
  readonly seed: string;
  readonly uplinkMtu: number;
  readonly bridge: BridgeFacts | undefined;
}

const usualMtu = 1500;

/**
 * @param bridge name of the bridge that is asked for
 * @param dockerBridges as far as Docker has told
 */
export function hostFacts(bridge: string | undefined, dockerBridges: readonly string[] = []): HostFacts {
  const rtnetlink = new Rtnetlink();
  try {
    const links = linksOf(rtnetlink);
    const routes = routesOf(rtnetlink);
    const nameOf = (index: number | undefined) => links.find((link) => link.index === index)?.name ?? "";
    const way = routes.find(({ destination, table }) => destination.prefix === 0 && table === mainTable);
    const found = bridge === undefined ? undefined : links.find(({ name }) => name === bridge);
    // One that a network of ours has left, whose record is lost, is nobody else's.
    const link = found && isOurBridge(found) ? undefined : found;
    return {
      seed: seedOfHost(),
      routes: routes.map((route) => ({ ...route, linkName: nameOf(route.link) })),
      resolvers: resolversOfHost(),
      uplinkMtu: links.find(({ index }) => index === way?.link)?.mtu ?? usualMtu,
      bridge: link && {
        kind: link.kind,
        mtu: link.mtu,
        isDockers: isDockersBridge(link.name) || dockerBridges.includes(link.name),
        addresses: addressesOf(rtnetlink)
          .filter(({ index, isLinkLocal }) => index === link.index && !isLinkLocal)
          .map(({ ip, prefix }) => `${ip}/${prefix}`),
      },
    };
  } finally {
    rtnetlink.close();
  }
}

/** Whether an earlier daemon has left a network whose record is lost. */
export function hasLeftBridges(): boolean {
  const rtnetlink = new Rtnetlink();
  try {
    return bridgesOf(rtnetlink).some(isOurBridge);
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
