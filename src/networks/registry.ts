import type { z } from "zod";
import { PontoonError } from "../../common/errors.js";
import type { Change, Kind, Store } from "../store/store.js";
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

interface Identified {
  readonly id: string;
}

/** Pontoon's own networks, sandboxes and endpoints, as the store has them. */
export class Registry {
  readonly networks = new Map<string, NetworkRecord>();
  readonly sandboxes = new Map<string, SandboxRecord>();
  readonly endpoints = new Map<string, EndpointRecord>();

  constructor(private readonly store: Store) {}

  /** Reads what there is. What makes no sense is put aside, with what belongs to it. Throws STORE_UNREADABLE. */
  load(): void {
    this.#read("network", networkRecord, this.networks, ({ created }) => created);
    this.#read("sandbox", sandboxRecord, this.sandboxes, ({ created }) => created);
    this.#read("endpoint", endpointRecord, this.endpoints, ({ ifname }) => ifname);
    for (const { id, network, sandbox } of [...this.endpoints.values()]) {
      if (this.networks.has(network) && this.sandboxes.has(sandbox)) continue;
      this.endpoints.delete(id);
      this.store.putAside("endpoint", id, "its network or its sandbox is not there");
    }
  }

  /** In the order in which they were made, as far as it is told by `order`. */
  #read<Record extends Identified>(
    kind: Kind,
    schema: z.ZodType<Record>,
    into: Map<string, Record>,
    order: (record: Record) => string,
  ): void {
    const records: Record[] = [];
    for (const [key, value] of this.store.all(kind)) {
      const read = schema.safeParse(value);
      if (read.success && read.data.id === key) records.push(read.data);
      else this.store.putAside(kind, key, read.error?.issues[0]?.message ?? "its id is another one");
    }
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    records.sort((one, other) => compare(order(one), order(other)));
    for (const record of records) into.set(record.id, record);
  }

  get isEmpty(): boolean {
    return this.networks.size === 0 && this.sandboxes.size === 0;
  }

  /** All of it or none, in the store first. Throws STORE_UNWRITABLE, STATE_DIR_UNFIT. */
  commit({ networks = [], sandboxes = [], endpoints = [], removed = {} }: RegistryChange): void {
    const put = (kind: Kind, records: readonly Identified[]): Change[] =>
      records.map((record) => ({ kind, key: record.id, value: record }));
    const remove = (kind: Kind, ids: readonly string[] = []): Change[] =>
      ids.map((key) => ({ kind, key, value: undefined }));
    this.store.write([
      ...put("network", networks),
      ...put("sandbox", sandboxes),
      ...put("endpoint", endpoints),
      ...remove("endpoint", removed.endpoints),
      ...remove("sandbox", removed.sandboxes),
      ...remove("network", removed.networks),
    ]);
    for (const record of networks) this.networks.set(record.id, record);
    for (const record of sandboxes) this.sandboxes.set(record.id, record);
    for (const record of endpoints) this.endpoints.set(record.id, record);
    for (const id of removed.endpoints ?? []) this.endpoints.delete(id);
    for (const id of removed.sandboxes ?? []) this.sandboxes.delete(id);
    for (const id of removed.networks ?? []) this.networks.delete(id);
  }

  /** By name, id, or the beginning of an id. Throws NETWORK_UNKNOWN. */
  network(nameOrId: string): NetworkRecord {
    const network = named(this.networks, nameOrId);
    if (network) return network;
    throw new PontoonError(
      "NETWORK_UNKNOWN",
      nameOrId,
      `there is no network ${nameOrId}; \`pontoon network ls\` shows those there are`,
    );
  }

  /** By name, id, or the beginning of an id. Throws SANDBOX_UNKNOWN. */
  sandbox(nameOrId: string): SandboxRecord {
    const sandbox = named(this.sandboxes, nameOrId);
    if (sandbox) return sandbox;
    throw new PontoonError(
      "SANDBOX_UNKNOWN",
      nameOrId,
      `there is no sandbox ${nameOrId}; \`pontoon sandbox ls\` shows those there are`,
    );
  }

  endpointsOf(which: { readonly network?: string; readonly sandbox?: string }): EndpointRecord[] {
    return [...this.endpoints.values()].filter(
      ({ network, sandbox }) =>
        (which.network === undefined || network === which.network) &&
        (which.sandbox === undefined || sandbox === which.sandbox),
    );
  }
}

/** Letters of an id that stand for the whole, at least. */
const idAtLeast = 4;

function named<Record extends { readonly id: string; readonly name: string }>(
  all: ReadonlyMap<string, Record>,
  nameOrId: string,
): Record | undefined {
  const records = [...all.values()];
  const byName = records.find(({ name }) => name === nameOrId);
  if (byName || nameOrId.length < idAtLeast) return byName;
  const byId = records.filter(({ id }) => id.startsWith(nameOrId));
  return byId.length === 1 ? byId[0] : undefined;
}
