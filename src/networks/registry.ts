import type { z } from "zod";
import { PontoonError } from "../../common/errors.js";
import type { Change, Kind, Store } from "../store/store.js";
import { EndpointIndex } from "./endpoint-index.js";
import { RecordsByName } from "./records-by-name.js";
import {
  endpointRecord,
  networkRecord,
  sandboxRecord,
  type EndpointRecord,
  type NetworkRecord,
  type SandboxRecord,
} from "./records.js";

/** What there is to change. */
export interface RegistryChange {
  readonly networks?: readonly NetworkRecord[];
  readonly sandboxes?: readonly SandboxRecord[];
  readonly endpoints?: readonly EndpointRecord[];
  readonly removed?: {
    readonly networks?: readonly string[];
    readonly sandboxes?: readonly string[];
    readonly endpoints?: readonly string[];
  };
}

/** Ids of what has come, gone, or is otherwise: a sandbox is when one of its endpoints is. */
export interface Touched {
  readonly networks: readonly string[];
  readonly sandboxes: readonly string[];
}

interface Identified {
  readonly id: string;
}

/** Pontoon's own networks, sandboxes and endpoints, as the store has them. */
export class Registry {
  readonly #networks = new RecordsByName<NetworkRecord>();
  readonly #sandboxes = new RecordsByName<SandboxRecord>();
  readonly #endpoints = new EndpointIndex();

  /** @param onTouched told of what was read or committed */
  constructor(
    private readonly store: Store,
    private readonly onTouched: (touched: Touched) => void = () => undefined,
  ) {}

  get networks(): ReadonlyMap<string, NetworkRecord> {
    return this.#networks.all;
  }

  get sandboxes(): ReadonlyMap<string, SandboxRecord> {
    return this.#sandboxes.all;
  }

  get endpoints(): ReadonlyMap<string, EndpointRecord> {
    return this.#endpoints.all;
  }

  /** Reads what there is. What makes no sense is put aside, with what belongs to it. Throws STORE_UNREADABLE. */
  load(): void {
    const networks = this.#read("network", networkRecord, ({ created }) => created);
    const sandboxes = this.#read("sandbox", sandboxRecord, ({ created }) => created);
    const endpoints = this.#read("endpoint", endpointRecord, ({ ifname }) => ifname);
    for (const network of networks) this.#networks.put(network);
    const known = new Set(sandboxes.map(({ id }) => id));
    for (const sandbox of sandboxes)
      if (sandbox.namespace.kind !== "joined" || known.has(sandbox.namespace.sandbox)) this.#sandboxes.put(sandbox);
      else this.store.putAside("sandbox", sandbox.id, "the sandbox whose network it shares is not there");
    for (const endpoint of endpoints)
      if (this.networks.has(endpoint.network) && this.sandboxes.has(endpoint.sandbox)) this.#endpoints.put(endpoint);
      else this.store.putAside("endpoint", endpoint.id, "its network or its sandbox is not there");
    this.onTouched({ networks: networks.map(({ id }) => id), sandboxes: sandboxes.map(({ id }) => id) });
  }

  /** In the order in which they were made, as far as it is told by `order`. */
  #read<Record extends Identified>(kind: Kind, schema: z.ZodType<Record>, order: (record: Record) => string): Record[] {
    const records: Record[] = [];
    for (const [key, value] of this.store.all(kind)) {
      const read = schema.safeParse(value);
      if (read.success && read.data.id === key) records.push(read.data);
      else this.store.putAside(kind, key, read.error?.issues[0]?.message ?? "its id is another one");
    }
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    return records.sort((one, other) => compare(order(one), order(other)));
  }

  get isEmpty(): boolean {
    return this.networks.size === 0 && this.sandboxes.size === 0;
  }

  /** All of it or none, in the store first. Throws STORE_UNWRITABLE, STATE_DIR_UNFIT. */
  commit(change: RegistryChange): void {
    this.store.write(changesOf(change));
    const { networks = [], sandboxes = [], endpoints = [], removed = {} } = change;
    const touched = new Set([...sandboxes.map(({ id }) => id), ...(removed.sandboxes ?? [])]);
    for (const { sandbox } of endpoints) touched.add(sandbox);
    for (const id of removed.endpoints ?? []) touched.add(this.endpoints.get(id)?.sandbox ?? "");
    for (const record of networks) this.#networks.put(record);
    for (const record of sandboxes) this.#sandboxes.put(record);
    for (const record of endpoints) this.#endpoints.put(record);
    for (const id of removed.endpoints ?? []) this.#endpoints.delete(id);
    for (const id of removed.sandboxes ?? []) this.#sandboxes.delete(id);
    for (const id of removed.networks ?? []) this.#networks.delete(id);
    touched.delete("");
    this.onTouched({
      networks: [...networks.map(({ id }) => id), ...(removed.networks ?? [])],
      sandboxes: [...touched],
    });
  }

  networkNamed(name: string): NetworkRecord | undefined {
    return this.#networks.named(name);
  }

  sandboxNamed(name: string): SandboxRecord | undefined {
    return this.#sandboxes.named(name);
  }

  /** By name, id, or the beginning of an id. Throws NETWORK_UNKNOWN. */
  network(nameOrId: string): NetworkRecord {
    const network = this.#networks.find(nameOrId);
    if (network) return network;
    throw new PontoonError(
      "NETWORK_UNKNOWN",
      nameOrId,
      `there is no network ${nameOrId}; \`pontoon network ls\` shows those there are`,
    );
  }

  /** By name, id, or the beginning of an id. Throws SANDBOX_UNKNOWN. */
  sandbox(nameOrId: string): SandboxRecord {
    const sandbox = this.#sandboxes.find(nameOrId);
    if (sandbox) return sandbox;
    throw new PontoonError(
      "SANDBOX_UNKNOWN",
      nameOrId,
      `there is no sandbox ${nameOrId}; \`pontoon sandbox ls\` shows those there are`,
    );
  }

  endpointsOf(which: { readonly network?: string; readonly sandbox?: string }): EndpointRecord[] {
    return this.#endpoints.of(which);
  }

  endpointsOn(network: string): number {
    return this.#endpoints.countOn(network);
  }

  /** Endpoints that have links to other sandboxes. */
  get linked(): Iterable<EndpointRecord> {
    return this.#endpoints.withLinks;
  }
}

function changesOf({ networks = [], sandboxes = [], endpoints = [], removed = {} }: RegistryChange): Change[] {
  const put = (kind: Kind, records: readonly Identified[]): Change[] =>
    records.map((record) => ({ kind, key: record.id, value: record }));
  const remove = (kind: Kind, ids: readonly string[] = []): Change[] =>
    ids.map((key) => ({ kind, key, value: undefined }));
  return [
    ...put("network", networks),
    ...put("sandbox", sandboxes),
    ...put("endpoint", endpoints),
    ...remove("endpoint", removed.endpoints),
    ...remove("sandbox", removed.sandboxes),
    ...remove("network", removed.networks),
  ];
}
