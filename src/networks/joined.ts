import { PontoonError } from "../../common/errors.js";
import type { SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";

/** The sandbox whose network stack a sandbox has: itself, but for one that has joined another. */
export function stackOwner(registry: Registry, sandbox: SandboxRecord): SandboxRecord {
  const { namespace } = sandbox;
  return (namespace.kind === "joined" ? registry.sandboxes.get(namespace.sandbox) : undefined) ?? sandbox;
}

/** Sandboxes that share a sandbox's network stack. */
export function joinedTo(registry: Registry, { id }: SandboxRecord): SandboxRecord[] {
  return [...registry.sandboxes.values()].filter(
    ({ namespace }) => namespace.kind === "joined" && namespace.sandbox === id,
  );
}

/** Throws SANDBOX_JOINED for one that has no network stack of its own to change. */
export function requireOwnStack(registry: Registry, sandbox: SandboxRecord): void {
  const owner = stackOwner(registry, sandbox);
  if (owner === sandbox) return;
  throw new PontoonError(
    "SANDBOX_JOINED",
    sandbox.name,
    `sandbox ${sandbox.name} shares the network of sandbox ${owner.name}; connect that one, or disconnect it`,
  );
}

/** Throws SANDBOX_SHARED while others have its network stack. */
export function requireUnshared(registry: Registry, sandbox: SandboxRecord): void {
  const [joiner] = joinedTo(registry, sandbox);
  if (!joiner) return;
  throw new PontoonError(
    "SANDBOX_SHARED",
    sandbox.name,
    `sandbox ${sandbox.name} cannot be removed, since sandbox ${joiner.name} shares its network; remove that one first`,
  );
}
