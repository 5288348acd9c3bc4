import type { z } from "zod";
import type { Change, Kind, Store } from "../../store/store.js";
import {
  addressRecord,
  dockerEndpointRecord,
  dockerNetworkRecord,
  poolRecord,
  type AddressRecord,
  type DockerEndpointRecord,
  type DockerNetworkRecord,
  type PoolRecord,
} from "./records.js";

interface Kinds {
  readonly "docker-network": DockerNetworkRecord;
  readonly "docker-endpoint": DockerEndpointRecord;
  readonly pool: PoolRecord;
  readonly address: AddressRecord;
}

type PluginKind = keyof Kinds & Kind;

const schemas = {
  "docker-network": dockerNetworkRecord,
  "docker-endpoint": dockerEndpointRecord,
  pool: poolRecord,
  address: addressRecord,
} as const;

/** What dockerd has had made, as the store has it. */
export class PluginRegistry {
  readonly #records = {
    "docker-network": new Map<string, DockerNetworkRecord>(),
    "docker-endpoint": new Map<string, DockerEndpointRecord>(),
    pool: new Map<string, PoolRecord>(),
    address: new Map<string, AddressRecord>(),
  };

  constructor(private readonly store: Store) {}

  get networks(): ReadonlyMap<string, DockerNetworkRecord> {
    return this.#records["docker-network"];
  }

  get endpoints(): ReadonlyMap<string, DockerEndpointRecord> {
    return this.#records["docker-endpoint"];
  }

  get pools(): ReadonlyMap<string, PoolRecord> {
    return this.#records.pool;
  }

  get addresses(): ReadonlyMap<string, AddressRecord> {
    return this.#records.address;
  }

  get isEmpty(): boolean {
    return Object.values(this.#records).every(({ size }) => size === 0);
  }

  /** Reads what there is; what makes no sense is put aside. Throws STORE_UNREADABLE. */
  load(): void {
    for (const kind of Object.keys(schemas) as PluginKind[]) this.#read(kind, schemas[kind]);
    const { networks } = this;
    for (const { id, network } of [...this.endpoints.values()])
      if (!networks.has(network)) this.#putAside("docker-endpoint", id, "its network is not there");
    for (const { id, pool } of [...this.addresses.values()])
      if (!this.pools.has(pool)) this.#putAside("address", id, "its pool is not there");
  }

  #read(kind: PluginKind, schema: z.ZodType): void {
    for (const [key, value] of this.store.all(kind)) {
      const read = schema.safeParse(value);
      if (read.success && (read.data as { id: string }).id === key) this.#keep(kind, key, read.data);
      else this.store.putAside(kind, key, read.error?.issues[0]?.message ?? "its id is another one");
    }
  }

  #putAside(kind: PluginKind, key: string, reason: string): void {
    this.#keep(kind, key, undefined);
    this.store.putAside(kind, key, reason);
  }

  /** Stores records. Throws STORE_UNWRITABLE, STATE_DIR_UNFIT; then nothing has changed. */
  put<Of extends PluginKind>(kind: Of, ...records: readonly Kinds[Of][]): void {
    if (records.length > 0) this.write(records.map((value) => ({ kind, key: value.id, value })));
  }

  /** Forgets records, if they are there. As {@link put}. */
  remove(kind: PluginKind, ...ids: readonly string[]): void {
    const known = ids.filter((id) => this.#records[kind].has(id));
    if (known.length > 0) this.write(known.map((key) => ({ kind, key, value: undefined })));
  }

  /** All of it or none. As {@link put}. */
  write(changes: readonly (Change & { readonly kind: PluginKind })[]): void {
    this.store.write(changes);
    for (const { kind, key, value } of changes) this.#keep(kind, key, value);
  }

  endpointsOn(network: string): DockerEndpointRecord[] {
    return [...this.endpoints.values()].filter((endpoint) => endpoint.network === network);
  }

  #keep(kind: PluginKind, key: string, value: unknown): void {
    const records = this.#records[kind] as Map<string, unknown>;
    if (value === undefined) records.delete(key);
    else records.set(key, value);
  }
}
