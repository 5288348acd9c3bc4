import type { Lease } from "../../network/dhcp/lease.js";
import { isNamespace } from "../../linux/named-namespace.js";
import { bandwidthText } from "./bandwidth.js";
import type { LeaseAnswer, NetworkAnswer, SandboxAnswer } from "./contract.js";
import { endpointAddresses } from "./endpoint-addresses.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { macOfEndpoint, namespacePathOf } from "./wanted.js";

/** @param encryption what encrypts on this host, in words; undefined where nothing does */
export function networkAnswer(registry: Registry, network: NetworkRecord, encryption?: string): NetworkAnswer {
  const { id, name, created, subnets, internal, labels, ipam } = network;
  return {
    Name: name,
    Id: id,
    Created: created,
    Scope: "local",
    Driver: driverOf(network),
    EnableIPv6: subnets.some(({ subnet }) => subnet.includes(":")),
    IPAM: {
      Driver: network.lan?.dhcp ? "dhcp" : (ipam?.driver ?? "default"),
      ...(ipam && { Options: ipam.options }),
      Config: subnets.map(({ subnet, gateway, ipRange }) => ({
        Subnet: subnet,
        Gateway: gateway,
        ...(ipRange !== undefined && { IPRange: ipRange }),
      })),
    },
    Internal: internal,
    Containers: Object.fromEntries(
      registry.endpointsOf({ network: id }).map((endpoint) => [
        endpoint.sandbox,
        {
          Name: registry.sandboxes.get(endpoint.sandbox)?.name ?? "",
          EndpointID: endpoint.id,
          MacAddress: macOfEndpoint(endpoint),
          IPv4Address: withPrefix(network, endpoint, endpoint.ipv4),
          IPv6Address: withPrefix(network, endpoint, endpoint.ipv6),
          ...(endpoint.lease && { Lease: leaseAnswer(endpoint, endpoint.lease) }),
          ...(endpoint.bandwidth && { Bandwidth: bandwidthText(endpoint.bandwidth) }),
        },
      ]),
    ),
    Options: { ...optionsOf(network), ...encryptionOf(network, encryption) },
    Labels: labels,
  };
}

export function driverOf({ lan, overlay, pair, remote }: NetworkRecord): string {
  if (remote) return remote.driver;
  if (overlay) return "overlay";
  return pair ? "pair" : (lan?.child.kind ?? "bridge");
}

/** As Docker's drivers have them. */
function optionsOf({
  bridge,
  lan,
  pair,
  remote,
  icc,
  masquerade,
  mtu,
  hostBinding,
  snatAddresses,
  ndpProxy,
}: NetworkRecord): Record<string, string> {
  if (remote) return remote.options;
  if (pair) return { "com.docker.network.driver.mtu": String(mtu) };
  if (lan)
    return {
      parent: lan.parent,
      [`${lan.child.kind}_mode`]: lan.child.mode,
      "com.docker.network.driver.mtu": String(mtu),
      ...(lan.hostAddresses.length > 0 && { "pontoon.host-access": lan.hostAddresses.join(",") }),
    };
  return {
    "com.docker.network.bridge.name": bridge,
    "com.docker.network.bridge.enable_icc": String(icc),
    "com.docker.network.bridge.enable_ip_masquerade": String(masquerade),
    "com.docker.network.driver.mtu": String(mtu),
    ...(hostBinding !== undefined && { "com.docker.network.bridge.host_binding_ipv4": hostBinding }),
    ...(ndpProxy && { "pontoon.ndp-proxy": ndpProxy.link }),
    ...(snatAddresses[0] !== undefined && { "com.docker.network.host_ipv4": snatAddresses[0] }),
  };
}

function encryptionOf(
  { overlay }: NetworkRecord,
  encryption = "none: this host has no WireGuard",
): Record<string, string> {
  return overlay?.isEncrypted ? { encrypted: "", "pontoon.encryption": encryption } : {};
}

function withPrefix(network: NetworkRecord, endpoint: EndpointRecord, ip: string | undefined): string {
  const own = endpointAddresses(endpoint, network).find((address) => address.ip === ip);
  return own ? `${own.ip}/${own.prefix}` : "";
}

function leaseAnswer({ ipv4 = "" }: EndpointRecord, lease: Lease): LeaseAnswer {
  const { server, router = "", obtained, expiry } = lease;
  return {
    Address: ipv4,
    Server: server,
    Router: router,
    Obtained: new Date(obtained).toISOString(),
    Expires: expiry === null ? "" : new Date(expiry).toISOString(),
  };
}

export function sandboxAnswer(registry: Registry, sandbox: SandboxRecord): SandboxAnswer {
  const { id, name, created, namespace, hostname, exposed, labels } = sandbox;
  const path = namespacePathOf(name);
  return {
    name,
    id,
    created,
    state: isNamespace(path, sandbox.inode) ? "up" : "gone",
    path,
    adopted: namespace.kind === "adopted" ? namespace.target : null,
    joined: namespace.kind === "joined" ? (registry.sandboxes.get(namespace.sandbox)?.name ?? "") : null,
    hostname,
    exposed: exposed.map(([port, transport]) => `${port}/${transport}`),
    labels,
    networks: registry.endpointsOf({ sandbox: id }).map((endpoint) => placeOf(registry, endpoint)),
  };
}

function placeOf(registry: Registry, endpoint: EndpointRecord): SandboxAnswer["networks"][number] {
  const { id, network, ifname, hostLink, ipv4, ipv6, aliases, bandwidth, remote, cutOff } = endpoint;
  return {
    network: registry.networks.get(network)?.name ?? "",
    endpoint: id,
    link: ifname,
    hostLink,
    mac: macOfEndpoint(endpoint),
    ipv4: ipv4 ?? null,
    ipv6: ipv6 ?? null,
    aliases,
    bandwidth: bandwidth ? bandwidthText(bandwidth) : null,
    ...(remote && { info: remote.info }),
    ...(cutOff !== undefined && { cutOff }),
  };
}
