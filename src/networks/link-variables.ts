import { isIPv6 } from "node:net";
import { stackOwner } from "./joined.js";
import type { SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";

/** Ports of one linked sandbox that get variables: what a program is started with has a limit in the kernel. */
export const variablePortsAtMost = 500;

type Port = SandboxRecord["exposed"][number];

/**
 * What a program in a sandbox is told of those that it is linked to, as `docker run --link` has it: `NAME=VALUE`. Nothing of one
 * that is on no network with it.
 */
export function linkVariables(registry: Registry, sandbox: SandboxRecord): string[] {
  const variables = new Map<string, string>();
  for (const { network, links } of registry.endpointsOf({ sandbox: stackOwner(registry, sandbox).id }))
    for (const [target, alias] of links) {
      const other = registry.sandboxNamed(target);
      const there = other && registry.endpointsOf({ network, sandbox: other.id })[0];
      const ip = there?.ipv4 ?? there?.ipv6;
      if (!other || ip === undefined) continue;
      for (const [name, value] of variablesOf(alias, `/${sandbox.name}/${alias}`, ip, other.exposed))
        if (!variables.has(name)) variables.set(name, value); // of several networks the first counts, as in the hosts file
    }
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

/** libnetwork has them in this order (`daemon/links`). */
function variablesOf(alias: string, name: string, ip: string, exposed: readonly Port[]): [string, string][] {
  const prefix = alias.toUpperCase().replaceAll("-", "_");
  const host = isIPv6(ip) ? `[${ip}]` : ip;
  const url = ([port, transport]: Port) => `${transport}://${host}:${port}`;
  const ports = [...exposed].sort(([a, x], [b, y]) => a - b || Number(y === "tcp") - Number(x === "tcp"));
  const kept = ports.slice(0, variablePortsAtMost);
  const [first] = kept;
  return [
    ...(first ? [[`${prefix}_PORT`, url(first)] as [string, string]] : []),
    ...runsOf(kept).flatMap(([from, to]): [string, string][] => {
      const key = `${prefix}_PORT_${from[0]}_${from[1].toUpperCase()}`;
      return [
        [`${key}_START`, url(from)],
        [`${key}_PORT_START`, String(from[0])],
        [`${key}_END`, url(to)],
        [`${key}_PORT_END`, String(to[0])],
      ];
    }),
    ...kept.flatMap((port): [string, string][] => {
      const key = `${prefix}_PORT_${port[0]}_${port[1].toUpperCase()}`;
      return [
        [key, url(port)],
        [`${key}_ADDR`, ip],
        [`${key}_PORT`, String(port[0])],
        [`${key}_PROTO`, port[1]],
      ];
    }),
    [`${prefix}_NAME`, name],
  ];
}

/** First and last of ports of one kind that follow one another, at least three. */
function runsOf(ports: readonly Port[]): [first: Port, last: Port][] {
  return (["tcp", "udp", "sctp"] as const).flatMap((kind) => {
    const own = ports.filter(([, transport]) => transport === kind);
    const starts = own.flatMap(([port], index) => (own[index - 1]?.[0] === port - 1 ? [] : [index]));
    return starts.flatMap((start, index): [Port, Port][] => {
      const end = (starts[index + 1] ?? own.length) - 1;
      return end - start >= 2 ? [[own[start]!, own[end]!]] : [];
    });
  });
}
