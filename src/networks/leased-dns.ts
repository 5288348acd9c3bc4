import type { SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { wantedEndpoints } from "./wanted.js";

/** A sandbox with DNS settings as they count: what it was not given itself is that of the LAN by which it leaves. */
export function withLeasedDns(registry: Registry, sandbox: SandboxRecord): SandboxRecord {
  const endpoints = registry.endpointsOf({ sandbox: sandbox.id });
  if (!endpoints.some(({ lease, ipv4 }) => lease && ipv4 !== undefined)) return sandbox;
  const all = wantedEndpoints(endpoints, (id) => registry.networks.get(id));
  const wayOut = all.find(({ isDefault }) => isDefault.ipv4)?.id;
  const lease = endpoints.find(({ id }) => id === wayOut)?.lease;
  if (!lease) return sandbox;
  const { servers, search, options } = sandbox.dns;
  const dns = {
    servers: servers.length > 0 ? servers : lease.dns,
    search: search.length > 0 ? search : lease.search,
    options,
  };
  return { ...sandbox, dns };
}
