import type { Config } from "./config.js";
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
): Pick<PortsControllerOptions, "enabled" | "ip" | "drainMs" | "sourcePorts"> {
  const { drain, "udp-source-ports": sourcePorts } = config.ports;
  return { enabled: publishes(config), ip: config.ip, drainMs: drain * 1000, sourcePorts };
}
