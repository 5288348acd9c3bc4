import { addressBits, familyOf, isLoopback, isUnspecified } from "../../common/address.js";
import type { KernelForward } from "../../network/firewall/wanted.js";
import { defaults } from "../../proxy/publication/publication.js";
import type { Inventory } from "../inventory/inventory.js";
import { isOnLan } from "../inventory/targets.js";
import type { Entry } from "./entry.js";

/** By which way clients get to a published port's target: through pontoon-proxy, or forwarded by the kernel. */
export type Path = "kernel" | "proxy";

/** What only pontoon-proxy can do. */
const proxyOptions = [
  "proxyProtocol",
  "acceptProxyProtocolFrom",
  "maxConnections",
  "connectTimeoutMs",
  "udpIdleMs",
] as const;

/**
 * The way that is chosen for a port. Its socket is pontoon-proxy's in any case.
 * @param kernelMay false where the host's firewall is left alone
 */
export function pathOf(inventory: Inventory, { port, failure, target }: Entry, kernelMay: boolean): Path {
  if (!kernelMay) return "proxy";
  const { path = defaults.path, ...options } = port.options;
  const isOwn = port.endpoint !== undefined || inventory.named(port.container)?.source === "pontoon";
  const isAsked = path === "kernel" || (path === "auto" && isOwn);
  const needsProxy = proxyOptions.some((name) => {
    const value = options[name] ?? defaults[name];
    return Array.isArray(value) ? value.length > 0 : value !== defaults[name];
  });
  if (!isAsked || needsProxy || failure !== undefined || target === undefined) return "proxy";
  if (maySkipHost(inventory, port.container, target.ip)) return "proxy"; // replies would go straight to the client, and not be known there
  const canForward = familyOf(port.ip) === familyOf(target.ip) && !isLoopback(port.ip) && !port.ip.includes("%");
  return canForward ? "kernel" : "proxy";
}

/** Whether replies of a target may go another way than through the host. */
function maySkipHost(inventory: Inventory, container: string, ip: string): boolean {
  const endpoint = inventory.named(container)?.endpoints.find(({ ipv4, ipv6 }) => ipv4 === ip || ipv6 === ip);
  const network = endpoint && inventory.networkOf(endpoint);
  return network !== undefined && (isOnLan(network) || network.isRemote === true);
}

function withPrefix(network: string): string {
  return network.includes("/") ? network : `${network}/${addressBits[familyOf(network)]}`;
}

/** What the kernel is to forward, by the port's id; what it cannot is left out by the firewall. */
export function forwardsOf(
  inventory: Inventory,
  entries: ReadonlyMap<string, Entry>,
  kernelMay: boolean,
): Map<string, KernelForward> {
  const forwards = new Map<string, KernelForward>();
  for (const [id, entry] of entries) {
    const { port, target } = entry;
    if (!target || pathOf(inventory, entry, kernelMay) === "proxy") continue;
    const { allowFrom = [] } = port.options;
    forwards.set(id, {
      owner: port.container,
      transport: port.transport,
      ip: isUnspecified(port.ip) ? undefined : port.ip,
      port: port.hostPort,
      to: target,
      ...(allowFrom.length > 0 && { sources: allowFrom.map(withPrefix) }),
    });
  }
  return forwards;
}
