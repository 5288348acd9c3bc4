import { Subnet } from "../../network/addresses/subnet.js";
import { isNamespace } from "../../linux/named-namespace.js";
import type { NetworkAnswer, SandboxAnswer } from "./contract.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { namespacePathOf } from "./wanted.js";

export function networkAnswer(registry: Registry, network: NetworkRecord): NetworkAnswer {
  const { id, name, created, subnets, internal, labels } = network;
  return {
    Name: name,
    Id: id,
    Created: created,
    Scope: "local",
    Driver: "bridge",
    EnableIPv6: subnets.some(({ subnet }) => subnet.includes(":")),
    IPAM: {
      Driver: "default",
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
          MacAddress: endpoint.mac,
          IPv4Address: withPrefix(network, endpoint.ipv4),
          IPv6Address: withPrefix(network, endpoint.ipv6),
        },
      ]),
    ),
    Options: optionsOf(network),
    Labels: labels,
  };
}

/** As Docker's bridge driver has them. */
function optionsOf({
  bridge,
  icc,
  masquerade,
  mtu,
  hostBinding,
  snatAddresses,
}: NetworkRecord): Record<string, string> {
  return {
    "com.docker.network.bridge.name": bridge,
    "com.docker.network.bridge.enable_icc": String(icc),
    "com.docker.network.bridge.enable_ip_masquerade": String(masquerade),
    "com.docker.network.driver.mtu": String(mtu),
    ...(hostBinding !== undefined && { "com.docker.network.bridge.host_binding_ipv4": hostBinding }),
    ...(snatAddresses[0] !== undefined && { "com.docker.network.host_ipv4": snatAddresses[0] }),
  };
}

function withPrefix({ subnets }: NetworkRecord, ip: string | undefined): string {
  const own = ip === undefined ? undefined : subnets.find(({ subnet }) => Subnet.parse(subnet).contains(ip));
  return ip === undefined || !own ? "" : `${ip}/${Subnet.parse(own.subnet).prefix}`;
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
  const { id, network, ifname, hostLink, mac, ipv4, ipv6, aliases } = endpoint;
  return {
    network: registry.networks.get(network)?.name ?? "",
    endpoint: id,
    link: ifname,
    hostLink,
    mac,
    ipv4: ipv4 ?? null,
    ipv6: ipv6 ?? null,
    aliases,
  };
}
