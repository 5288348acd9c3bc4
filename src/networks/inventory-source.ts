import type { Source } from "../inventory/source.js";
import type { Container, Endpoint, NamespacePlace, Network } from "../inventory/types.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { namespacePathOf } from "./wanted.js";

/** Tells the inventory of all that is registered: names are answered and ports published from there. */
export function tellInventory(source: Source, registry: Registry): void {
  const known = new Set(source.ids);
  for (const network of registry.networks.values()) {
    known.delete(network.id);
    source.putNetwork(networkOf(network));
  }
  for (const sandbox of registry.sandboxes.values()) {
    known.delete(sandbox.id);
    source.putContainer(containerOf(registry, sandbox));
  }
  for (const id of known) {
    source.removeContainer(id);
    source.removeNetwork(id);
  }
}

function networkOf({ id, name, internal, hostBinding }: NetworkRecord): Network {
  return {
    id,
    source: "pontoon",
    name,
    driver: "bridge",
    internal,
    predefined: false,
    shared: false,
    ...(hostBinding !== undefined && { hostBinding }),
  };
}

function containerOf(registry: Registry, sandbox: SandboxRecord): Container {
  const { id, name, hostname, labels, exposed, dns, inode } = sandbox;
  return {
    id,
    source: "pontoon",
    name,
    hostname,
    labels,
    running: inode !== 0,
    sandbox: inode === 0 ? undefined : { id: `${id.slice(0, 32)}-${inode}`, ...placeOf(sandbox) },
    networkMode: { kind: "own" },
    ports: exposed,
    published: [],
    dns,
    endpoints: registry
      .endpointsOf({ sandbox: id })
      .map((endpoint) => endpointOf(endpoint, registry.networks.get(endpoint.network)!, inode !== 0)),
    hostsPath: "",
    resolvConfPath: "",
    legacyLinks: [],
    partial: false,
    excess: undefined,
  };
}

/** A namespace that was adopted from a process ends with it. */
function placeOf({ name, namespace, inode }: SandboxRecord): NamespacePlace {
  const pid = namespace.kind === "adopted" ? /^\/proc\/(\d+)\/ns\/net$/.exec(namespace.target)?.[1] : undefined;
  return pid === undefined
    ? { kind: "named", path: namespacePathOf(name), inode }
    : { kind: "process", pid: Number(pid) };
}

/** @param isUp without its namespace a sandbox has its addresses, but is at none */
function endpointOf(endpoint: EndpointRecord, { id, name, internal }: NetworkRecord, isUp: boolean): Endpoint {
  const { aliases, links, gatewayPriority } = endpoint;
  const { ipv4, ipv6 } = isUp ? endpoint : {};
  return {
    networkId: id,
    networkName: name,
    aliases,
    links,
    ipv4,
    ipv6,
    hasGateway: { ipv4: !internal && ipv4 !== undefined, ipv6: !internal && ipv6 !== undefined },
    gatewayPriority,
  };
}
