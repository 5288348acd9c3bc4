import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stackOwner } from "./joined.js";
import { withLeasedDns } from "./leased-dns.js";
import type { EndpointRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";

// hosts, hostname and resolv.conf of a sandbox, in the folder whose files `ip netns exec` mounts over those of /etc.

const folderOf = (name: string): string => join("/etc/netns", name);
const mode = 0o644;
const files = ["hosts", "hostname", "resolv.conf"] as const;
const loopback = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/** In a hosts file of ours. */
const mark = "# written by pontoon";

/** The folder of a sandbox's files, if there are such files in it that pontoon has not written: they are left as they are. */
export function filesOfOthers(name: string): string | undefined {
  const folder = folderOf(name);
  if (!files.some((file) => existsSync(join(folder, file)))) return undefined;
  try {
    return readFileSync(join(folder, "hosts"), "utf8").split("\n").includes(mark) ? undefined : folder;
  } catch {
    return folder;
  }
}

/** Writes them anew. An open file stays the same one: it may be mounted somewhere. Those of others stay. */
export function writeSandboxFiles(registry: Registry, sandbox: SandboxRecord): void {
  if (filesOfOthers(sandbox.name) !== undefined) return;
  const folder = folderOf(sandbox.name);
  mkdirSync(folder, { recursive: true });
  const write = (file: (typeof files)[number], lines: readonly string[]) =>
    writeFileSync(join(folder, file), lines.map((line) => `${line}\n`).join(""), { mode });
  write("hosts", [mark, ...hostsLines(registry, sandbox)]);
  write("hostname", [sandbox.hostname]);
  write("resolv.conf", resolvConfLines(withLeasedDns(registry, stackOwner(registry, sandbox))));
}

/** Sandboxes with a link to another one: their files change when that one comes, goes, or moves to another address. */
export function linkedTo(registry: Registry, target: SandboxRecord): SandboxRecord[] {
  const isLinked = ({ links }: EndpointRecord) => links.some(([name]) => name === target.name);
  const ids = new Set([...registry.linked].filter(isLinked).map(({ sandbox }) => sandbox));
  return [...ids].map((id) => registry.sandbox(id));
}

export function removeSandboxFiles({ name }: SandboxRecord): void {
  if (filesOfOthers(name) !== undefined) return;
  const folder = folderOf(name);
  for (const file of files) rmSync(join(folder, file), { force: true });
  try {
    if (readdirSync(folder).length === 0) rmdirSync(folder);
  } catch {
    // it was never made, or somebody has files of their own there
  }
}

/** As Docker writes them: what always counts, what was asked for, links, then the sandbox itself on each of its networks. */
export function hostsLines(registry: Registry, sandbox: SandboxRecord): string[] {
  return [...loopback, ...ownHostsLines(registry, sandbox)];
}

/** Without what is the same everywhere. */
export function ownHostsLines(registry: Registry, sandbox: SandboxRecord): string[] {
  const endpoints = registry.endpointsOf({ sandbox: stackOwner(registry, sandbox).id });
  const own = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].filter((ip) => ip !== undefined));
  const links = endpoints.flatMap(({ network, links }) =>
    links.flatMap(([target, alias]) => {
      const other = registry.sandboxNamed(target);
      const there = other && registry.endpointsOf({ network, sandbox: other.id })[0];
      const names = [...new Set([alias, other?.hostname, target])].join(" ");
      return [there?.ipv4, there?.ipv6].flatMap((ip) => (ip === undefined ? [] : [`${ip}\t${names}`]));
    }),
  );
  const short = sandbox.hostname.split(".")[0]!;
  const names = short === sandbox.hostname ? short : `${sandbox.hostname} ${short}`;
  return [...sandbox.extraHosts.map(([name, ip]) => `${ip}\t${name}`), ...links, ...own.map((ip) => `${ip}\t${names}`)];
}

/** What a sandbox's resolv.conf says, whoever writes it. */
export interface Resolver {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export function resolverOf({ dns }: SandboxRecord): Resolver {
  const hasDots = dns.options.some((option) => option.startsWith("ndots:"));
  return {
    nameservers: ["127.0.0.11"],
    search: dns.search.includes(".") ? [] : dns.search,
    options: hasDots ? dns.options : [...dns.options, "ndots:0"],
  };
}

export function resolvConfLines(sandbox: SandboxRecord): string[] {
  const { nameservers, search, options } = resolverOf(sandbox);
  return [
    ...nameservers.map((ip) => `nameserver ${ip}`),
    ...(search.length > 0 ? [`search ${search.join(" ")}`] : []),
    `options ${options.join(" ")}`,
  ];
}
