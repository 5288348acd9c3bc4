import { z } from "zod";
import { PontoonError } from "../../../common/errors.js";
import type { MappedPort } from "../../inventory/endpoint-ports.js";
import { portsAtMost, type AttachmentKey, type AttachRequest } from "./attach-request.js";
import type { Attached } from "./attached.js";
import { firstIssue } from "./cni-config.js";
import { addressList, engineId, hostAddress, networkName, orNothing, port, wordList } from "./schemas.js";

// What podman says to plugins of netavark: plugin API, version 1.0.0, since netavark 1.6.

const noOptions: Readonly<Record<string, string>> = {};
const options = orNothing(z.record(z.string().max(4096), z.string().max(4096)), noOptions);

/** What netavark does not know of is passed through. */
const network = z.looseObject({
  name: engineId,
  id: z.string().max(255),
  driver: z.string().max(255),
  subnets: z.array(z.unknown()).max(100).nullish(),
  options,
  network_dns_servers: addressList,
});

const portMapping = z.object({
  container_port: port.min(1),
  host_port: port,
  host_ip: hostAddress,
  protocol: orNothing(z.string(), "tcp").transform((text) => (text === "" ? "tcp" : text.toLowerCase())),
  range: orNothing(port, 1).transform((count) => Math.max(count, 1)),
});

const exec = z.object({
  container_id: engineId,
  container_name: z.string().max(255),
  port_mappings: orNothing(z.array(portMapping).max(portsAtMost), []),
  network,
  network_options: z.object({
    interface_name: z.string().max(255),
    aliases: wordList,
    static_ips: addressList,
    static_mac: z.string().max(255).nullish(),
  }),
});

/** What `setup` and `teardown` are told. */
export type NetavarkExec = z.infer<typeof exec>;
/** What `create` is told, and says. */
export type NetavarkNetwork = z.infer<typeof network>;

/** Throws NETAVARK_CALL_INVALID. */
export function parseNetavarkExec(input: string): NetavarkExec {
  return parse(exec, input);
}

/** Throws NETAVARK_CALL_INVALID. */
export function parseNetavarkNetwork(input: string): NetavarkNetwork {
  return parse(network, input);
}

function parse<Value>(schema: z.ZodType<Value>, input: string): Value {
  let json: unknown;
  try {
    json = JSON.parse(input);
  } catch {
    throw invalid("what stands on standard input is not JSON");
  }
  const read = schema.safeParse(json);
  if (read.success) return read.data;
  throw invalid(firstIssue(read.error));
}

function invalid(why: string): PontoonError {
  return new PontoonError("NETAVARK_CALL_INVALID", "netavark", `the call cannot be understood: ${why}`);
}

/** The network of pontoon's own that a network of podman's means. Throws NETAVARK_CALL_INVALID. */
export function networkOfNetavark({ name, options }: NetavarkNetwork): string {
  const read = networkName.safeParse(options["network"] ?? name);
  if (read.success) return read.data;
  throw invalid(firstIssue(read.error));
}

/**
 * What `create` answers: addresses are pontoon's to give out, so that podman keeps no list of its own.
 * Throws NETAVARK_CALL_INVALID for subnets, which are the other network's.
 */
export function createdNetwork(given: NetavarkNetwork): object {
  if ((given.subnets ?? []).length > 0)
    throw invalid(`subnets are those of pontoon's network ${networkOfNetavark(given)}; leave out --subnet`);
  return { ...given, subnets: null, ipam_options: { driver: "none" }, dns_enabled: false };
}

/** Which attachment a call is about. */
export function netavarkKey({ container_id, network, network_options }: NetavarkExec): AttachmentKey {
  return {
    engine: "netavark",
    container: container_id,
    attachment: network.name,
    ifname: network_options.interface_name,
  };
}

/** What `setup` asks for. Throws NETAVARK_CALL_INVALID. */
export function netavarkRequest(told: NetavarkExec, netns: string): AttachRequest {
  if (netns === "") throw invalid("the path of the container's network namespace is missing");
  const { aliases, static_ips: ips, static_mac } = told.network_options;
  return {
    ...netavarkKey(told),
    netns,
    network: networkOfNetavark(told.network),
    name: told.container_name,
    ips,
    mac: static_mac ?? undefined,
    aliases,
    ports: portsOf(told),
    dns: { servers: told.network.network_dns_servers, search: [], options: [] },
  };
}

function portsOf({ port_mappings }: NetavarkExec): MappedPort[] {
  const ports: MappedPort[] = [];
  for (const { container_port, host_port, host_ip, protocol, range } of port_mappings)
    for (const transport of protocol.split(","))
      for (let each = 0; each < range; each++) {
        if (transport !== "tcp" && transport !== "udp" && transport !== "sctp")
          throw invalid(`${transport} is no protocol of a port`);
        if (ports.length === portsAtMost) throw invalid(`more than ${portsAtMost} ports are to be published`);
        if (Math.max(host_port, container_port) + each > 65_535) throw invalid("a range of ports ends behind 65535");
        ports.push({
          transport,
          containerPort: container_port + each,
          ...(host_port > 0 && { hostPorts: { first: host_port + each, last: host_port + each } }),
          ...(host_ip !== undefined && { ip: host_ip }),
        });
      }
  return ports;
}

/** netavark's StatusBlock. */
export function statusBlock({ ifname, mac, addresses, dns }: Attached): object {
  return {
    dns_search_domains: dns.search,
    dns_server_ips: dns.nameservers,
    interfaces: {
      [ifname]: {
        mac_address: mac,
        subnets: addresses.map(({ ip, prefix, gateway }) => ({
          ipnet: `${ip}/${prefix}`,
          ...(gateway !== undefined && { gateway }),
        })),
      },
    },
  };
}
