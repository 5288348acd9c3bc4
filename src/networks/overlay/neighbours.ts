import type { NeighbourChange, WantedNeighbour } from "../../../network/wanted.js";
import type { Mirror, MirrorChange } from "../../cluster/mirror.js";
import { addressesOf } from "../../cluster/addresses.js";
import type { SharedEndpoint } from "../../cluster/records.js";
import { encryptedAddress } from "../../cluster/wireguard.js";

/** Whether what passes between hosts of a network is encrypted: an answer also for one that the store has lost. */
export type IsEncrypted = (network: string) => boolean;

/** Endpoints of other hosts on a network, as the kernel is to know them. @param host this one's id */
export function allNeighbours(
  mirror: Mirror,
  host: string,
  network: string,
  isEncrypted: IsEncrypted,
): NeighbourChange {
  const others = [...mirror.endpointsOn(network).values()].filter(({ endpoint }) => endpoint.host !== host);
  const put = others.flatMap(({ endpoint }) => neighboursOf(mirror, endpoint, isEncrypted));
  return { network, put, removed: [], isAll: true };
}

/** What is otherwise for the kernel when the cluster's state is. @param host this one's id */
export function neighbourChanges(
  mirror: Mirror,
  host: string,
  { endpoints, hosts }: MirrorChange,
  isEncrypted: IsEncrypted,
): NeighbourChange[] {
  const changes = new Map<string, { put: Map<string, WantedNeighbour>; removed: Set<string> }>();
  const on = (network: string) => {
    const change = changes.get(network) ?? { put: new Map<string, WantedNeighbour>(), removed: new Set<string>() };
    changes.set(network, change);
    return change;
  };
  const put = (endpoint: SharedEndpoint) => {
    for (const neighbour of neighboursOf(mirror, endpoint, isEncrypted)) {
      on(endpoint.network).put.set(neighbour.ip, neighbour);
      on(endpoint.network).removed.delete(neighbour.ip);
    }
  };
  // What one had may be another's by now, in the same change: first all that goes, whatever the order.
  for (const { before } of endpoints)
    if (before && before.host !== host) for (const ip of addressesOf(before)) on(before.network).removed.add(ip);
  for (const { now } of endpoints) if (now && now.host !== host) put(now);
  // It may have another address, or be known only now; nobody knows where one is that is no host any more.
  for (const id of hosts)
    if (id !== host)
      for (const { endpoint } of mirror.endpointsOf(id))
        if (mirror.hosts.has(id)) put(endpoint);
        else for (const ip of addressesOf(endpoint)) on(endpoint.network).removed.add(ip);
  return [...changes].map(([network, change]) => ({
    network,
    put: [...change.put.values()],
    removed: [...change.removed],
  }));
}

/** Encrypted packets for a host that has no key go nowhere. */
function neighboursOf(mirror: Mirror, endpoint: SharedEndpoint, isEncrypted: IsEncrypted): WantedNeighbour[] {
  const record = mirror.hosts.get(endpoint.host);
  const host = record && (isEncrypted(endpoint.network) ? encryptedAddress(record) : record.advertise);
  return host === undefined ? [] : addressesOf(endpoint).map((ip) => ({ ip, mac: endpoint.mac, host }));
}
