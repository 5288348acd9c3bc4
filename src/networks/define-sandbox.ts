import { existsSync } from "node:fs";
import { PontoonError } from "../../common/errors.js";
import { isNetworkNamespace, namespaceInode, ownNamespacePath } from "../../linux/netns.js";
import { isNamespace } from "../../linux/named-namespace.js";
import type { CreateSandboxRequest } from "./contract.js";
import type { SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { stackOwner } from "./joined.js";
import { filesOfOthers } from "./sandbox-files.js";
import { requireAddress } from "./require-address.js";
import { namespacePathOf } from "./wanted.js";

const exposedAtMost = 40_000;

/**
 * The sandbox that a request comes to. Throws when it cannot be; nothing is done yet.
 * @param hostInode of the host's own network namespace, which no sandbox has
 */
export function defineSandbox(
  request: CreateSandboxRequest,
  registry: Registry,
  id: string,
  created: string,
  hostInode = namespaceInode(ownNamespacePath),
): SandboxRecord {
  const { name, adopt, join } = request;
  if (registry.sandboxNamed(name))
    throw new PontoonError(
      "NAME_TAKEN",
      name,
      `there is a sandbox ${name} already; choose another name, or remove it first`,
    );
  const path = namespacePathOf(name);
  const owner = join === undefined ? undefined : stackOwner(registry, registry.sandbox(join));
  if (owner) requireNoStack(request, owner);
  if (adopt !== undefined) requireAdoptable(adopt, registry, hostInode);
  if (adopt !== path && existsSync(path))
    throw new PontoonError(
      "NAME_TAKEN",
      path,
      `there is a network namespace ${name} already (${path}); adopt it with ` +
        `\`pontoon sandbox adopt ${name} --netns ${path}\`, or choose another name`,
    );
  if (adopt === undefined) requireFreeFiles(name);
  return {
    id,
    name,
    created,
    namespace: owner
      ? { kind: "joined", sandbox: owner.id, target: namespacePathOf(owner.name) }
      : adopt === undefined
        ? { kind: "own" }
        : adoptedNamespace(adopt, request.container),
    inode: 0,
    hostname: request.hostname ?? name.replaceAll("_", "-").slice(0, 63),
    exposed: exposedOf(request.exposed),
    dns: {
      servers: request.dns.map((ip) => requireAddress(ip, "--dns")),
      search: request.dnsSearch,
      options: request.dnsOptions,
    },
    extraHosts: request.extraHosts.map(extraHost),
    labels: request.labels,
  };
}

/** Throws OPTION_CONFLICT for what is the other sandbox's to say. */
function requireNoStack(request: CreateSandboxRequest, { name }: SandboxRecord): void {
  const { networks, ips, mac, bandwidth, aliases, links, adopt, exposed, dns, dnsSearch, dnsOptions } = request;
  const lists = [networks, ips, aliases, links, exposed, dns, dnsSearch, dnsOptions];
  if (lists.every(({ length }) => length === 0) && (mac ?? bandwidth ?? adopt) === undefined) return;
  throw new PontoonError(
    "OPTION_CONFLICT",
    request.name,
    `sandbox ${request.name} shares the network of sandbox ${name}, so networks, addresses, bandwidth, aliases, links, exposed ports and ` +
      "servers for names are that one's: leave such options out",
  );
}

/** Throws FILES_TAKEN where somebody has files of their own for a namespace of that name. */
function requireFreeFiles(name: string): void {
  const folder = filesOfOthers(name);
  if (folder !== undefined)
    throw new PontoonError(
      "FILES_TAKEN",
      folder,
      `${folder} has files that are not pontoon's; move them away, or choose another name`,
    );
}

function requireAdoptable(path: string, registry: Registry, hostInode: number): void {
  // /proc/self and others that mean whoever opens them are the daemon's own.
  const isPlain = path.startsWith("/") && !path.split("/").includes("..") && !/^\/proc\/\D/.test(path);
  if (!isPlain || !isNamespace(path) || !isNetworkNamespace(path))
    throw new PontoonError(
      "NAMESPACE_UNKNOWN",
      path,
      `${path} is not a network namespace; give the path of one, such as /proc/PID/ns/net`,
    );
  const inode = namespaceInode(path);
  const holder = [...registry.sandboxes.values()].find((sandbox) => sandbox.inode === inode && isThere(sandbox));
  if (!holder && inode !== hostInode) return;
  throw new PontoonError(
    "NAMESPACE_TAKEN",
    path,
    `${path} is the network namespace of ${holder ? `sandbox ${holder.name}` : "the host itself"}; give another one`,
  );
}

/** Inodes are used again. */
function isThere({ name, inode }: SandboxRecord): boolean {
  return isNamespace(namespacePathOf(name), inode);
}

/** @param container id of the one that it is of */
export function adoptedNamespace(target: string, container: string | undefined): SandboxRecord["namespace"] {
  const isOfProcess = target.startsWith("/proc/");
  return {
    kind: "adopted",
    target,
    ...(isOfProcess && { inode: namespaceInode(target) }),
    ...(container !== undefined && { container }),
  };
}

function exposedOf(texts: readonly string[]): SandboxRecord["exposed"] {
  const exposed: [number, "tcp" | "udp" | "sctp"][] = [];
  for (const text of texts) {
    const [from, to, transport] = portsOf(text);
    if (exposed.length + to - from >= exposedAtMost)
      throw new PontoonError(
        "PORT_INVALID",
        text,
        `with ${text} there are more ports than one sandbox may expose (${exposedAtMost})`,
      );
    for (let port = from; port <= to; port++) exposed.push([port, transport]);
  }
  return [...new Map(exposed.map((port) => [port.join("/"), port])).values()];
}

function portsOf(text: string): [from: number, to: number, transport: "tcp" | "udp" | "sctp"] {
  const [, first, last = first, transport = "tcp"] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(text) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (from >= 1 && to >= from && to <= 65_535) return [from, to, transport as "tcp" | "udp" | "sctp"];
  throw new PontoonError("PORT_INVALID", text, `${text} is not a port; write it as 80, 53/udp or 8000-8010/tcp`);
}

function extraHost(text: string): [string, string] {
  const at = text.indexOf(":");
  const [name, ip] = [text.slice(0, at), text.slice(at + 1)];
  if (at > 0 && /^[a-zA-Z0-9_.-]{1,253}$/.test(name)) return [name, requireAddress(ip, "--add-host")];
  throw new PontoonError("HOST_INVALID", text, `${text} is not a line for a hosts file; write it as NAME:ADDRESS`);
}
