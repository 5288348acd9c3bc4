import type { LinkAccept } from "../../network/firewall/wanted.js";
import type { Registry } from "./registry.js";

/** On networks whose sandboxes do not reach one another: exposed ports that a sandbox reaches since it has a link. */
export function linkAccepts(registry: Registry): LinkAccept[] {
  const accepts: LinkAccept[] = [];
  for (const { network, sandbox, links, ipv4, ipv6 } of registry.linked) {
    if (registry.networks.get(network)?.icc !== false) continue;
    const owner = `sandbox ${registry.sandboxes.get(sandbox)?.name}`;
    for (const [name] of links) {
      const target = registry.sandboxNamed(name);
      const there = target && registry.endpointsOf({ network, sandbox: target.id })[0];
      const ways = [
        [ipv4, there?.ipv4],
        [ipv6, there?.ipv6],
      ] as const;
      for (const [port, transport] of target?.exposed ?? [])
        for (const [from, to] of ways)
          if (transport !== "sctp" && from !== undefined && to !== undefined)
            accepts.push({ owner, from, to, transport, port });
    }
  }
  return accepts;
}
