import type { Inventory } from "../inventory/inventory.js";
import { endpointRecords } from "./records.js";

/** One name on one network, as `pontoon dns records` prints it. */
export interface RecordRow {
  readonly network: string;
  readonly name: string;
  readonly container: string;
  readonly ipv4: string | undefined;
  readonly ipv6: string | undefined;
  /** Seconds. */
  readonly ttl: number;
}

/** Every name pontoon answers, by network. */
export function recordRows(inventory: Inventory, defaultTtl: number): RecordRow[] {
  const rows: RecordRow[] = [];
  for (const container of inventory.containers.values()) {
    for (const { network, names, ipv4, ipv6, ttl } of endpointRecords(inventory, container, defaultTtl)) {
      const networkName = inventory.networks.get(network)?.name ?? network;
      for (const name of names) rows.push({ network: networkName, name, container: container.name, ipv4, ipv6, ttl });
    }
  }
  return rows.sort(
    (a, b) =>
      a.network.localeCompare(b.network) || a.name.localeCompare(b.name) || a.container.localeCompare(b.container),
  );
}
