import type { NeighbourChange, WantedNeighbour } from "../../../network/wanted.js";
import type { Mirror, MirrorChange } from "../../cluster/mirror.js";
import { addressesOf } from "../../cluster/addresses.js";
import type { SharedEndpoint } from "../../cluster/records.js";

/** Endpoints of other hosts on a network, as the kernel is to know them. @param host this one's id */
export function allNeighbours(mirror: Mirror, host: string, network: string): NeighbourChange {
  const others = [...mirror.endpointsOn(network).values()].filter(({ endpoint }) => endpoint.host !== host);
  return { network, put: others.flatMap(({ endpoint }) => neighboursOf(mirror, endpoint)), removed: [], isAll: true };
}

/** What is otherwise for the kernel when the cluster's state is. @param host this one's id */
export function neighbourChanges(mirror: Mirror, host: string, { endpoints, hosts }: MirrorChange): NeighbourChange[] {
  const changes = new Map<string, { put: Map<string, WantedNeighbour>; removed: Set<string> }>();
  const on = (network: string) => {
    const change = changes.get(network) ?? { put: new Map<string, WantedNeighbour>(), removed: new Set<string>() };
    changes.set(network, change);
    return change;
  };
  const put = (endpoint: SharedEndpoint) => {
    for (const neighbour of neighboursOf(mirror, endpoint)) {
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

function neighboursOf(mirror: Mirror, endpoint: SharedEndpoint): WantedNeighbour[] {
  const host = mirror.hosts.get(endpoint.host)?.advertise;
  return host === undefined ? [] : addressesOf(endpoint).map((ip) => ({ ip, mac: endpoint.mac, host }));
}
