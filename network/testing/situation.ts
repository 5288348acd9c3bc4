import type { Change } from "../protocol.js";
import { endpoint, network, sandbox } from "../plan/testing/wanted.js";
import type { HostLab } from "./lab.js";

// Two networks; sandbox a is on both, and leaves by the second, on which sandbox b is, too.

export const first = network(1);
export const second = network(2, {
  hasIPv6: true,
  firewall: { subnets: ["10.2.0.0/24", "fd00:2::/64"], internal: false, icc: true, masquerade: true, snat: {} },
});
export const [a, b] = [sandbox("a"), sandbox("b")];
export const aOnFirst = endpoint(a, first, { isDefault: { ipv4: false, ipv6: false }, table: 1001 });
export const aOnSecond = endpoint(a, second, { table: 1002 });
export const bOnSecond = endpoint(b, second, {
  mac: "02:42:0a:02:00:03",
  group: 7,
  addresses: [
    { ip: "10.2.0.3", prefix: 24 },
    { ip: "fd00:2::3", prefix: 64 },
  ],
});
export const everything = {
  networks: [first, second],
  sandboxes: [a, b],
  endpoints: [aOnFirst, aOnSecond, bOnSecond],
} as const satisfies Change;

type Told = ReturnType<HostLab["ip"]>[number];

/** All that a host has, without what differs from one making to the next. */
export function stateOf(lab: HostLab): Record<string, unknown> {
  const spaces = lab.run("ls", "/run/netns").split("\n").filter(Boolean);
  return {
    host: withLinks(lab.ip("address", "show"), { isHost: true }),
    ...queuesOf(lab),
    ...proxiesOf(lab),
    ...Object.fromEntries(spaces.map((name) => [name, insideOf(lab, name)])),
  };
}

/** What links answer for, and whether they do. */
function proxiesOf(lab: HostLab): { proxies?: string[] } {
  const proxies = lab.ip("-6", "neighbour", "show", "proxy").map(({ dst, dev }) => inWords({ dst, dev }));
  const on = lab.run("sh", "-c", "grep -l 1 /proc/sys/net/ipv6/conf/*/proxy_ndp || true").split("\n").filter(Boolean);
  return proxies.length + on.length > 0 ? { proxies: [...proxies, ...on].sort() } : {};
}

/** Of those links alone that have been given one. */
function queuesOf(lab: HostLab): { queues?: string[] } {
  const ask = (...args: string[]) => JSON.parse(lab.run("tc", "-j", ...args).trim() || "[]") as Told[];
  const given = ask("qdisc", "show").filter(({ kind }) => kind === "tbf" || kind === "ingress");
  const queues = given.map(({ dev, kind, options }) => {
    const { rate, lat } = options as Told;
    const filters = kind === "ingress" ? ask("filter", "show", "dev", String(dev), "ingress") : [];
    const to = /"to_dev":"([^"]+)"/.exec(JSON.stringify(filters))?.[1];
    return inWords({ dev, kind, rate, lat, to });
  });
  return queues.length > 0 ? { queues: queues.sort() } : {};
}

function insideOf(lab: HostLab, name: string): unknown {
  const ask = (...args: string[]) => lab.ip("-n", name, ...args);
  const routes = [...ask("-4", "route", "show", "table", "all"), ...ask("-6", "route", "show", "table", "all")];
  return {
    links: withLinks(ask("address", "show"), { isHost: false }),
    routes: routes
      .filter(({ table, dst }) => table !== "local" && !/^f[ef]/.test(String(dst)))
      .map(({ dst, gateway, dev, table }) => inWords({ dst, gateway, dev, table }))
      .sort(),
    rules: [...ask("-4", "rule"), ...ask("-6", "rule")]
      .map(({ priority, src, table, suppress_prefixlen }) => inWords({ priority, src, table, suppress_prefixlen }))
      .sort(),
  };
}

const byChance = ["veth", "ifb", "vxlan"];

function withLinks(links: Told[], { isHost }: { isHost: boolean }): string[] {
  return links
    .map((link) => {
      const { ifname, mtu, master, ifalias, group, flags, address } = link;
      const kind = (link.linkinfo as Told | undefined)?.info_kind;
      const isUp = (flags as string[]).includes("UP");
      const addresses = (link.addr_info as Told[])
        .filter(({ scope }) => scope !== "link")
        .map(({ local, prefixlen }) => `${String(local)}/${String(prefixlen)}`);
      const mac = isHost && byChance.includes(String(kind)) ? undefined : address; // the host's have one that differs
      return inWords({ ifname, kind, isUp, mtu, master, ifalias, group, mac, addresses: addresses.sort().join(" ") });
    })
    .sort();
}

function inWords(parts: Told): string {
  return Object.entries(parts)
    .flatMap(([name, value]) => (value === undefined || value === "" ? [] : [`${name}=${String(value as string)}`]))
    .join(" ");
}
