import { addressPool, defaultPools } from "../network/addresses/pools.js";
import { parseBip } from "./config-network.js";
import type { Config } from "./config.js";
import type { NetworkDefaults } from "./networks/network-defaults.js";
import type { DnsControllerOptions } from "./names/controller.js";
import type { PortsControllerOptions } from "./ports/controller.js";

/** What of the configuration may change while the resolver works. */
export function dnsOptions({ dns }: Config): Omit<DnsControllerOptions, "runDir" | "version" | "takeOver"> {
  return {
    defaultTtl: dns.ttl,
    orphanAfter: dns["orphan-after"],
    queryLog: dns["query-log"],
    cacheSize: dns["cache-size"] * 1_000_000,
    patience: dns.patience * 1000,
    sharesAnswers: dns["share-answers"],
    singleLabel: dns["single-label"],
  };
}

export function takesOver({ dns, observe }: Config): boolean {
  return dns.enabled && !observe;
}

export function publishes({ ports, observe }: Config): boolean {
  return ports.enabled && !observe;
}

/** None of it changes while published ports are served. */
export function portsOptions(
  config: Config,
): Pick<PortsControllerOptions, "enabled" | "kernelMay" | "ip" | "drainMs" | "sourcePorts"> {
  const { drain, "udp-source-ports": sourcePorts } = config.ports;
  return {
    enabled: publishes(config),
    kernelMay: config.network.iptables,
    ip: config.ip,
    drainMs: drain * 1000,
    sourcePorts,
  };
}

/** None of it changes while the daemon runs. */
export function networkDefaults({ network }: Config): NetworkDefaults {
  const { bridge, bip, "fixed-cidr": range, mtu, icc, "ip-forward": forwarding, "ip-masq": masquerade } = network;
  const own = bip === undefined ? undefined : parseBip(bip);
  // As in Docker: without another subnet the range is the subnet.
  const isSubnet = bridge === undefined && own === undefined;
  return {
    bridge,
    subnet: own?.subnet.text ?? (isSubnet ? range : undefined),
    gateway: own?.ip,
    ipRange: isSubnet ? undefined : range,
    icc,
    masquerade,
    mtu,
    pools: poolsOf(network["default-address-pools"]),
    firewall: network.iptables,
    firewalldZone: network["firewalld-zone"] === "none" ? undefined : network["firewalld-zone"],
    forwarding,
    dns: { servers: network.dns, search: network["dns-search"], options: network["dns-opt"] },
  };
}

/** As in Docker: a family of which no pool is named has those it always has. IPv6's own is made of what tells the host from others. */
function poolsOf(given: Config["network"]["default-address-pools"]): NetworkDefaults["pools"] {
  const pools = given.map(({ base, size }) => addressPool(base, size));
  const of = (family: "ipv4" | "ipv6") => pools.filter(({ base }) => base.family === family);
  return { ipv4: of("ipv4").length > 0 ? of("ipv4") : defaultPools, ipv6: of("ipv6") };
}
