import type { Inventory } from "../inventory/inventory.js";
import type { Container } from "../inventory/types.js";
import { endpointRecords, networkRecord } from "./records.js";
import type { TableMirror } from "./table-mirror.js";

/** Keeps what the table has of networks and endpoints as the inventory has them. */
export class TableRecords {
  /** Networks on which the table has an endpoint of a container. */
  readonly #networksOf = new Map<string, ReadonlySet<string>>();
  /** Networks of containers with more names than are kept. */
  readonly #incomplete = new Map<string, readonly string[]>();

  constructor(
    private readonly inventory: Inventory,
    private readonly mirror: Pick<TableMirror, "put" | "remove">,
  ) {}

  reviewNetwork(id: string): void {
    const network = this.inventory.networks.get(id);
    if (network && !network.predefined)
      this.mirror.put(`network ${id}`, { kind: "network", network: networkRecord(this.inventory, network) });
    else this.mirror.remove(`network ${id}`, { kind: "network-gone", id });
  }

  /**
   * @param container undefined when it is gone
   * @param defaultTtl of records, seconds
   * @returns networks of which it has changed whether the table has all names: they are to be reviewed
   */
  reviewContainer(id: string, container: Container | undefined, defaultTtl: number): string[] {
    const records = container ? endpointRecords(this.inventory, container, defaultTtl) : [];
    const networks = new Set(records.map(({ network }) => network));
    for (const network of this.#networksOf.get(id) ?? [])
      if (!networks.has(network))
        this.mirror.remove(`endpoint ${network} ${id}`, { kind: "endpoint-gone", network, container: id });
    for (const endpoint of records)
      this.mirror.put(`endpoint ${endpoint.network} ${id}`, { kind: "endpoint", endpoint });
    if (networks.size > 0) this.#networksOf.set(id, networks);
    else this.#networksOf.delete(id);
    return this.#reviewExcess(id, container);
  }

  #reviewExcess(id: string, container: Container | undefined): string[] {
    const before = this.#incomplete.get(id) ?? [];
    const now =
      container?.excess?.names === true
        ? container.endpoints.flatMap((endpoint) => this.inventory.networkOf(endpoint)?.id ?? [])
        : [];
    if (now.length > 0) this.#incomplete.set(id, now);
    else this.#incomplete.delete(id);
    return [...new Set([...before, ...now])].filter((network) => before.includes(network) !== now.includes(network));
  }
}
