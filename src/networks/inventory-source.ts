import { familyOf } from "../../common/address.js";
import type { Source } from "../inventory/source.js";
import type { Container, Endpoint, NamespacePlace, Network } from "../inventory/types.js";
import { driverOf } from "./answers.js";
import { withLeasedDns } from "./leased-dns.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry, Touched } from "./registry.js";
import { namespacePathOf } from "./wanted.js";

/** Tells the inventory of what is registered: names are answered and ports published from there. */
export class Announcer {
  readonly #networks = new Set<string>();
  readonly #sandboxes = new Set<string>();

  constructor(
    private readonly source: Source,
    private readonly registry: Registry,
  ) {}

  /** To be told of with the next {@link tell}. */
  note({ networks, sandboxes }: Touched): void {
    for (const id of networks) this.#networks.add(id);
    for (const id of sandboxes) this.#sandboxes.add(id);
  }

  /** Tells of everything noted, as it is by now. */
  tell(): void {
    this.tellSome(Infinity);
  }

  /** Tells of so many sandboxes, and of all networks. @returns whether that was all */
  tellSome(atMost: number): boolean {
    const { networks, sandboxes } = this.registry;
    for (const id of this.#networks) {
      const network = networks.get(id);
      if (network) this.source.putNetwork(networkOf(network));
    }
    for (const id of [...this.#sandboxes].slice(0, atMost)) {
      this.#sandboxes.delete(id);
      const sandbox = sandboxes.get(id);
      if (sandbox) this.source.putContainer(containerOf(this.registry, sandbox));
      else this.source.removeContainer(id);
    }
    if (this.#sandboxes.size > 0) return false;
    for (const id of this.#networks) if (!networks.has(id)) this.source.removeNetwork(id);
    this.#networks.clear();
    return true;
  }
}

function networkOf(network: NetworkRecord): Network {
  const { id, name, lan, overlay, remote, internal, hostBinding } = network;
  return {
    id,
    source: "pontoon",
    name,
    driver: driverOf(network),
    // The gateway of an overlay network is on each host: endpoints there are reached as on a bridge.
    ...((overlay ?? (lan && lan.hostAddresses.length > 0)) && { hostAccess: true }),
    ...(remote && { isRemote: true }),
    internal,
    predefined: false,
    shared: false,
    ...(hostBinding !== undefined && { hostBinding }),
  };
}

function containerOf(registry: Registry, sandbox: SandboxRecord): Container {
  const { id, name, namespace, hostname, labels, exposed, inode } = sandbox;
  return {
    id,
    source: "pontoon",
    name,
    hostname,
    labels,
    running: inode !== 0,
    sandbox: inode === 0 ? undefined : { id: placeIdOf(sandbox), ...placeOf(sandbox) },
    networkMode: namespace.kind === "joined" ? { kind: "container", of: namespace.sandbox } : { kind: "own" },
    ports: exposed,
    published: [],
    dns: withLeasedDns(registry, sandbox).dns,
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

/** As the inventory has it: another for each namespace. */
export function placeIdOf({ id, inode }: SandboxRecord): string {
  return `${id.slice(0, 32)}-${inode}`;
}

/** A namespace that was adopted from a process ends with it, and one that an engine has named with that name. */
function placeOf({ name, namespace, inode }: SandboxRecord): NamespacePlace {
  const target = namespace.kind === "adopted" ? namespace.target : "";
  const pid = /^\/proc\/(\d+)\/ns\/net$/.exec(target)?.[1];
  if (pid !== undefined) return { kind: "process", pid: Number(pid) };
  // What is in it is to be taken away still when its sandbox, and our name for it, are gone already.
  const isAttached = namespace.kind === "adopted" && namespace.attached !== undefined;
  return { kind: "named", path: isAttached ? target : namespacePathOf(name), inode };
}

/** @param isUp without its namespace a sandbox has its addresses, but is at none */
function endpointOf(endpoint: EndpointRecord, { id, name, internal }: NetworkRecord, isUp: boolean): Endpoint {
  const { aliases, links, gatewayPriority, remote } = endpoint;
  const leadsOut = (family: "ipv4" | "ipv6") =>
    !internal && (remote ? remote.gateways.some((ip) => familyOf(ip) === family) : endpoint[family] !== undefined);
  const { ipv4, ipv6 } = isUp && endpoint.cutOff === undefined ? endpoint : {};
  const hasRouter = endpoint.lease === undefined || endpoint.lease.router !== undefined;
  return {
    networkId: id,
    networkName: name,
    aliases,
    links,
    ipv4,
    ipv6,
    hasGateway: { ipv4: isUp && leadsOut("ipv4") && hasRouter, ipv6: isUp && leadsOut("ipv6") },
    gatewayPriority,
  };
}
