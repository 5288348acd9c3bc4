import type { NeighbourChange, WantedNeighbour } from "../wanted.js";

/** What the kernel has, or is to have, so that endpoints on other hosts of one network are reached. */
export interface NeighbourEntries {
  /** Where a MAC address is: of the VXLAN link. */
  readonly hosts: ReadonlyMap<string, string | undefined>;
  /** MAC addresses that are reached by the VXLAN link: of the bridge. */
  readonly ports: ReadonlySet<string>;
  /** Who has an address, by MAC: of the bridge. */
  readonly macs: ReadonlyMap<string, string>;
}

/** One entry to be written. Each can be done again. */
export type EntryStep =
  | { readonly kind: "put-forwarding"; readonly mac: string; readonly host: string }
  | { readonly kind: "delete-forwarding"; readonly mac: string; readonly table: "link" | "bridge" }
  | { readonly kind: "put-neighbour"; readonly ip: string; readonly mac: string }
  | { readonly kind: "delete-neighbour"; readonly ip: string };

interface Station {
  readonly host: string;
  readonly ips: Set<string>;
}

/** Endpoints of one overlay network that are on other hosts. A change costs what changes, however many there are. */
export class NeighbourTable {
  readonly #macs = new Map<string, string>();
  readonly #stations = new Map<string, Station>();

  /** All there is to be. */
  get entries(): NeighbourEntries {
    return this.#entriesOf(this.#macs.keys(), this.#stations.keys());
  }

  /** Where they are. */
  get hosts(): Set<string> {
    const hosts = new Set<string>();
    for (const { host } of this.#stations.values()) hosts.add(host);
    return hosts;
  }

  /** @returns what is to be written, in order */
  change({ put, removed, isAll }: Omit<NeighbourChange, "network">): EntryStep[] {
    const ips = new Set([...removed, ...put.map(({ ip }) => ip), ...(isAll ? this.#macs.keys() : [])]);
    const known = [...ips].flatMap((ip) => this.#macs.get(ip) ?? []);
    const macs = new Set([...known, ...put.map(({ mac }) => mac)]);
    const before = this.#entriesOf(ips, macs);
    for (const ip of isAll ? ips : removed) this.#remove(ip);
    for (const neighbour of put) this.#put(neighbour);
    return entrySteps(this.#entriesOf(ips, macs), before);
  }

  #put({ ip, mac, host }: WantedNeighbour): void {
    this.#remove(ip);
    const ips = this.#stations.get(mac)?.ips ?? new Set();
    this.#macs.set(ip, mac);
    this.#stations.set(mac, { host, ips: ips.add(ip) }); // it is where it was last said to be, with all its addresses
  }

  #remove(ip: string): void {
    const mac = this.#macs.get(ip);
    if (mac === undefined) return;
    this.#macs.delete(ip);
    const { ips } = this.#stations.get(mac)!;
    ips.delete(ip);
    if (ips.size === 0) this.#stations.delete(mac);
  }

  /** Of these addresses, as far as they are known. */
  #entriesOf(ips: Iterable<string>, macs: Iterable<string>): NeighbourEntries {
    const hosts = new Map<string, string>();
    for (const mac of macs) {
      const station = this.#stations.get(mac);
      if (station) hosts.set(mac, station.host);
    }
    const resolved = new Map<string, string>();
    for (const ip of ips) {
      const mac = this.#macs.get(ip);
      if (mac !== undefined) resolved.set(ip, mac);
    }
    return { hosts, ports: new Set(hosts.keys()), macs: resolved };
  }
}

/**
 * What makes of what is there what is wanted. A bridge answers for an address only once it knows by which port its MAC address
 * is reached: that comes before.
 */
export function entrySteps(wanted: NeighbourEntries, seen: NeighbourEntries): EntryStep[] {
  const left = (all: Iterable<string>, kept: { has(key: string): boolean }) => [...all].filter((key) => !kept.has(key));
  return [
    ...left(seen.macs.keys(), wanted.macs).map((ip) => ({ kind: "delete-neighbour", ip }) as const),
    ...left(seen.ports, wanted.ports).map((mac) => ({ kind: "delete-forwarding", mac, table: "bridge" }) as const),
    ...left(seen.hosts.keys(), wanted.hosts).map((mac) => ({ kind: "delete-forwarding", mac, table: "link" }) as const),
    ...[...wanted.hosts].flatMap(([mac, host]) =>
      host === undefined || (seen.hosts.get(mac) === host && seen.ports.has(mac))
        ? []
        : [{ kind: "put-forwarding", mac, host } as const],
    ),
    ...[...wanted.macs].flatMap(([ip, mac]) =>
      seen.macs.get(ip) === mac ? [] : [{ kind: "put-neighbour", ip, mac } as const],
    ),
  ];
}
