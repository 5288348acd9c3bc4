import { existsSync } from "node:fs";
import { isNamespace } from "../../../linux/named-namespace.js";
import { namespaceInode } from "../../../linux/netns.js";
import { createSandboxRequest } from "../contract.js";
import { defineSandbox } from "../define-sandbox.js";
import type { EndpointRequest } from "../define-endpoint.js";
import { newId } from "../new-id.js";
import type { SandboxRecord } from "../records.js";
import type { Registry } from "../registry.js";
import { namespacePathOf } from "../wanted.js";
import type { AttachmentKey, AttachRequest } from "./attach-request.js";

const isName = (name: string) => /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/.test(name);
/** Letters of an id that engines show. */
const shortId = 12;

/** The engine's container that a sandbox is; undefined for all others. */
export function attachedContainer({ namespace }: SandboxRecord) {
  return namespace.kind === "adopted" ? namespace.attached : undefined;
}

export function isOfContainer(
  sandbox: SandboxRecord,
  { engine, container }: Pick<AttachmentKey, "engine" | "container">,
): boolean {
  const attached = attachedContainer(sandbox);
  return attached?.engine === engine && attached.container === container;
}

/** Whether the namespace that a container had when it was attached is there still. */
export function isThere({ namespace }: SandboxRecord): boolean {
  return namespace.kind === "adopted" && isNamespace(namespace.target, namespace.inode);
}

/** Whether a path leads to the namespace of a sandbox. */
export function isNamespaceOf({ namespace }: SandboxRecord, path: string): boolean {
  return namespace.kind === "adopted" && namespace.inode !== undefined && isNamespace(path, namespace.inode);
}

/** Names that a container's sandbox may have, of which the first that is free counts. */
export function sandboxNames({ name, container }: Pick<AttachRequest, "name" | "container">): string[] {
  return [name ?? "", container.slice(0, shortId), container.slice(0, 63)].filter(isName);
}

/** The sandbox for a container. Throws as {@link defineSandbox}; nothing is done yet. */
export function defineAttachedSandbox(request: AttachRequest, registry: Registry): SandboxRecord {
  const target = plainPath(request.netns);
  const names = sandboxNames(request);
  const isFree = (name: string) =>
    !registry.sandboxNamed(name) && (namespacePathOf(name) === target || !existsSync(namespacePathOf(name)));
  const name = names.find(isFree) ?? names[0]!;
  const { servers, search, options } = request.dns;
  const wanted = createSandboxRequest.parse({
    name,
    adopt: target,
    dns: servers,
    dnsSearch: search,
    dnsOptions: options,
  });
  const sandbox = defineSandbox(wanted, registry, newId(), new Date().toISOString());
  const { engine, container } = request;
  // A namespace that comes at the same path is that of another container, or of another run of this one.
  const inode = namespaceInode(target);
  return { ...sandbox, inode, namespace: { kind: "adopted", target, inode, attached: { engine, container } } };
}

/** `/var/run` is the old name of `/run`. */
function plainPath(path: string): string {
  return path.replace(/^\/var\/run\//, "/run/");
}

/** Its place on the network. A container is known by its name and by the beginning of its id, as to Docker, whatever its sandbox is called. */
export function endpointRequest(request: AttachRequest, sandbox: SandboxRecord, network: string): EndpointRequest {
  const { ips, mac, ifname, aliases, attachment, name, container, bandwidth } = request;
  const names = [...aliases, name ?? "", container.slice(0, shortId)].filter(
    (each) => isName(each) && each !== sandbox.name,
  );
  return {
    network,
    sandbox: sandbox.id,
    ips: [...ips],
    ...(mac !== undefined && { mac }),
    ifname,
    aliases: [...new Set(names)],
    links: [],
    gatewayPriority: 0,
    attachment,
    ...(bandwidth && { bandwidth }),
  };
}
