import type { Container } from "../../inventory/types.js";
import type { PluginRegistry } from "./plugin-registry.js";

/**
 * How containers are called that have endpoints, as dockerd tells of them. An endpoint's container is the one that runs and has
 * its address.
 */
export function endpointNames(
  records: Pick<PluginRegistry, "networks" | "endpoints">,
  containers: Iterable<Pick<Container, "id" | "name" | "running" | "endpoints">>,
): { readonly endpoint: string; readonly container: { readonly id: string; readonly name: string } }[] {
  const names: ReturnType<typeof endpointNames> = [];
  for (const { id, name, running, endpoints } of containers)
    for (const { networkId, ipv4, ipv6 } of running ? endpoints : [])
      if (records.networks.has(networkId) && (ipv4 ?? ipv6) !== undefined)
        for (const each of records.endpoints.values())
          if (each.path !== undefined && each.network === networkId && each.ipv4 === ipv4 && each.ipv6 === ipv6)
            names.push({ endpoint: each.id, container: { id, name } });
  return names;
}
