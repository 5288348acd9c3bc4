import type { Source } from "../inventory/source.js";
import type { Container } from "../inventory/types.js";
import type { Mirror, MirrorChange } from "./mirror.js";
import type { SharedEndpoint } from "./records.js";

/**
 * Tells the inventory of endpoints on other hosts: names are answered from there. Those of a host that is not in touch with the
 * store are withdrawn.
 */
export class HostsSource {
  /** By sandbox, then by network. */
  readonly #sandboxes = new Map<string, Map<string, SharedEndpoint>>();

  /** @param host this one's id */
  constructor(
    private readonly source: Source,
    private readonly mirror: Mirror,
    private readonly host: string,
  ) {}

  tell({ endpoints, hosts }: Pick<MirrorChange, "endpoints" | "hosts">): void {
    const touched = new Set<string>();
    for (const { before, now } of endpoints) {
      if (before && before.host !== this.host) touched.add(this.#forget(before));
      if (now && now.host !== this.host) touched.add(this.#keep(now));
    }
    for (const host of hosts)
      for (const { endpoint } of this.mirror.endpointsOf(host))
        if (endpoint.host !== this.host) touched.add(endpoint.sandbox);
    for (const sandbox of touched) this.#put(sandbox);
  }

  #keep(endpoint: SharedEndpoint): string {
    const places = this.#sandboxes.get(endpoint.sandbox) ?? new Map<string, SharedEndpoint>();
    this.#sandboxes.set(endpoint.sandbox, places.set(endpoint.network, endpoint));
    return endpoint.sandbox;
  }

  #forget(endpoint: SharedEndpoint): string {
    const places = this.#sandboxes.get(endpoint.sandbox);
    if (places?.get(endpoint.network)?.id === endpoint.id) places.delete(endpoint.network);
    if (places?.size === 0) this.#sandboxes.delete(endpoint.sandbox);
    return endpoint.sandbox;
  }

  #put(sandbox: string): void {
    const endpoints = [...(this.#sandboxes.get(sandbox)?.values() ?? [])];
    const [first] = endpoints;
    if (first && this.mirror.isAlive(first.host)) this.source.putContainer(containerOf(first, endpoints, this.mirror));
    else this.source.removeContainer(idOf(sandbox));
  }
}

/** One that no sandbox of this host's has, whatever others write. It begins as the sandbox's, which is a name of it. */
function idOf(sandbox: string): string {
  return `${sandbox}@hosts`;
}

function containerOf(first: SharedEndpoint, endpoints: readonly SharedEndpoint[], { networks }: Mirror): Container {
  return {
    id: idOf(first.sandbox),
    source: "hosts",
    name: first.name,
    hostname: first.hostname,
    labels: {},
    running: true,
    sandbox: undefined,
    networkMode: { kind: "own" },
    ports: first.exposed,
    published: [],
    dns: { servers: [], options: [], search: [] },
    endpoints: endpoints.map(({ network, aliases, ipv4, ipv6 }) => ({
      networkId: network,
      networkName: networks.get(network)?.name ?? network,
      aliases,
      links: [],
      ipv4,
      ipv6,
      hasGateway: { ipv4: false, ipv6: false },
      gatewayPriority: 0,
    })),
    hostsPath: "",
    resolvConfPath: "",
    legacyLinks: [],
    partial: false,
    excess: undefined,
  };
}
