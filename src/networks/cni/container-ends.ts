import type { Logger } from "pino";
import { describeError } from "../../../common/errors.js";
import { unlinkNamespace } from "../../../linux/named-namespace.js";
import type { EndpointPublisher } from "../plugin/publishing.js";
import type { SandboxRecord } from "../records.js";
import type { Registry } from "../registry.js";
import { removeSandboxFiles } from "../sandbox-files.js";
import type { Sandboxes } from "../sandboxes.js";
import { namespacePathOf } from "../wanted.js";
import { attachedContainer, isThere } from "./attached-sandbox.js";

/** What {@link ContainerEnds} works with. */
export interface EndParts {
  readonly registry: Registry;
  readonly sandboxes: Sandboxes;
  readonly ports: EndpointPublisher;
  readonly log: Logger;
}

/** Ends of containers of which no engine tells: their namespaces are gone. */
export class ContainerEnds {
  constructor(private readonly parts: EndParts) {}

  /**
   * Before anything is done, and addresses are given out: forgets containers that went while no daemon ran, as with a start of
   * the host. The kernel has taken away what they had. Never throws: what cannot be stored is as it was.
   */
  forgetGone(): void {
    try {
      for (const sandbox of this.#gone) this.#forget(sandbox);
    } catch (error) {
      this.parts.log.warn({ reason: describeError(error) }, "attached containers that are gone could not be forgotten");
    }
  }

  get #gone(): SandboxRecord[] {
    const all = [...this.parts.registry.sandboxes.values()];
    return all.filter((sandbox) => attachedContainer(sandbox) && !isThere(sandbox));
  }

  #forget(sandbox: SandboxRecord): void {
    const { registry, log } = this.parts;
    const { id, name, namespace } = sandbox;
    const endpoints = registry.endpointsOf({ sandbox: id }).map((endpoint) => endpoint.id);
    registry.commit({ removed: { sandboxes: [id], endpoints } });
    for (const endpoint of endpoints) this.unpublish(endpoint);
    removeSandboxFiles(sandbox);
    if (namespace.kind === "adopted") unlinkNamespace(namespacePathOf(name), namespace.target);
    log.info({ sandbox: name }, "an attached container went while no daemon ran, and its sandbox with it");
  }

  /** In a turn of the reconciler's: removes containers that have gone. Never rejects. */
  async dropGone(): Promise<void> {
    const { log } = this.parts;
    for (const sandbox of this.#gone)
      try {
        await this.drop(sandbox);
        log.info({ sandbox: sandbox.name }, "an attached container is gone, and its sandbox with it");
      } catch (error) {
        const reason = describeError(error);
        log.warn({ sandbox: sandbox.name, reason }, "the sandbox of an attached container that is gone is still there");
      }
  }

  /** In a turn of the reconciler's: removes a container, whatever it has. */
  async drop(sandbox: SandboxRecord): Promise<void> {
    for (const { id } of this.parts.registry.endpointsOf({ sandbox: sandbox.id })) this.unpublish(id);
    await this.parts.sandboxes.remove(sandbox);
  }

  /** Frees ports of an endpoint that is gone. They take turns of the reconciler's own, so nobody waits for it. */
  unpublish(endpoint: string): void {
    this.parts.ports.unpublish(endpoint).catch((error: unknown) => {
      this.parts.log.warn({ reason: describeError(error) }, "ports of a container that is gone are still published");
    });
  }
}
