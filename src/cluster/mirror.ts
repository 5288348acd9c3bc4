import type { SharedNews, SharedRecord } from "../store/shared-store.js";
import {
  readRecord,
  type ClusterRecord,
  type HostRecord,
  type Known,
  type SharedEndpoint,
  type SharedNetwork,
} from "./records.js";

/** An endpoint as the store has it. */
export interface StoredEndpoint {
  readonly endpoint: SharedEndpoint;
  readonly revision: number;
}

/** What has come, gone or is otherwise. */
export interface MirrorChange {
  /** Ids of networks. */
  readonly networks: ReadonlySet<string>;
  /** Ids of hosts: they have joined, gone, moved, or are in touch or not any more. */
  readonly hosts: ReadonlySet<string>;
  /** Endpoints as they were and as they are. */
  readonly endpoints: readonly {
    readonly before: SharedEndpoint | undefined;
    readonly now: SharedEndpoint | undefined;
  }[];
}

/** What this host knows of the cluster's state: as it was at one revision of the store. */
export class Mirror {
  #revision = 0;
  #cluster: ClusterRecord | undefined;
  readonly #hosts = new Map<string, HostRecord>();
  readonly #alive = new Set<string>();
  readonly #networks = new Map<string, SharedNetwork>();
  /** By network, then by name. */
  readonly #endpoints = new Map<string, Map<string, StoredEndpoint>>();
  readonly #records = new Map<string, SharedRecord>();

  get revision(): number {
    return this.#revision;
  }

  get cluster(): ClusterRecord | undefined {
    return this.#cluster;
  }

  get hosts(): ReadonlyMap<string, HostRecord> {
    return this.#hosts;
  }

  get networks(): ReadonlyMap<string, SharedNetwork> {
    return this.#networks;
  }

  /** Everything, as the store has it. */
  get records(): ReadonlyMap<string, SharedRecord> {
    return this.#records;
  }

  /** Whether a host was in touch with the store when this host last heard. */
  isAlive(host: string): boolean {
    return this.#alive.has(host);
  }

  /** By name. */
  endpointsOn(network: string): ReadonlyMap<string, StoredEndpoint> {
    return this.#endpoints.get(network) ?? new Map<string, StoredEndpoint>();
  }

  *endpointsOf(host: string): Generator<StoredEndpoint> {
    for (const stored of this.endpoints()) if (stored.endpoint.host === host) yield stored;
  }

  *endpoints(): Generator<StoredEndpoint> {
    for (const named of this.#endpoints.values()) yield* named.values();
  }

  /** @returns what is otherwise */
  apply({ revision, changes }: SharedNews): MirrorChange {
    this.#revision = revision;
    const touched = {
      networks: new Set<string>(),
      hosts: new Set<string>(),
      endpoints: [] as MirrorChange["endpoints"][number][],
    };
    for (const { key, record } of changes) {
      const known = this.#records.get(key);
      const before = known && readRecord(key, known.value);
      const now = record && readRecord(key, record.value);
      if (record) this.#records.set(key, record);
      else this.#records.delete(key);
      // What makes no sense any more says nothing; it is not what was removed.
      if (record && !now) continue;
      if (before && !now) this.#remove(before);
      if (now) this.#put(now, record.revision);
      note(touched, before, now);
    }
    return touched;
  }

  #put(known: Known, revision: number): void {
    if (known.kind === "cluster") this.#cluster = known.value;
    else if (known.kind === "host") this.#hosts.set(known.id, known.value);
    else if (known.kind === "alive") this.#alive.add(known.id);
    else if (known.kind === "network") this.#networks.set(known.id, known.value);
    else this.#named(known.value.network).set(known.value.name, { endpoint: known.value, revision });
  }

  #remove(known: Known): void {
    if (known.kind === "cluster") this.#cluster = undefined;
    else if (known.kind === "host") this.#hosts.delete(known.id);
    else if (known.kind === "alive") this.#alive.delete(known.id);
    else if (known.kind === "network") this.#networks.delete(known.id);
    else {
      const named = this.#named(known.value.network);
      named.delete(known.value.name);
      if (named.size === 0) this.#endpoints.delete(known.value.network);
    }
  }

  #named(network: string): Map<string, StoredEndpoint> {
    const named = this.#endpoints.get(network) ?? new Map<string, StoredEndpoint>();
    this.#endpoints.set(network, named);
    return named;
  }
}

function note(
  {
    networks,
    hosts,
    endpoints,
  }: { networks: Set<string>; hosts: Set<string>; endpoints: MirrorChange["endpoints"][number][] },
  before: Known | undefined,
  now: Known | undefined,
): void {
  const known = now ?? before;
  if (known?.kind === "network") networks.add(known.id);
  else if (known?.kind === "host" || known?.kind === "alive") hosts.add(known.id);
  else if (known?.kind === "endpoint") endpoints.push({ before: endpointOf(before), now: endpointOf(now) });
}

function endpointOf(known: Known | undefined): SharedEndpoint | undefined {
  return known?.kind === "endpoint" ? known.value : undefined;
}
