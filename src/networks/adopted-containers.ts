import type { Logger } from "pino";
import { namespaceOf } from "./adopt-container.js";
import { writeContainerFiles } from "./container-files.js";
import { adoptedNamespace } from "./define-sandbox.js";
import type { DockersContainers } from "./dockers-networks.js";
import { withLeasedDns } from "./leased-dns.js";
import type { Reconciler } from "./reconciler.js";
import type { SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { ownHostsLines, resolvConfLines } from "./sandbox-files.js";
import type { Sandboxes } from "./sandboxes.js";
import { wantedSandbox } from "./wanted.js";

/** Id of the container that a sandbox is; undefined for all others. */
export function containerOf({ namespace }: SandboxRecord): string | undefined {
  return namespace.kind === "adopted" ? namespace.container : undefined;
}

/** Follows containers that were adopted: each start gives one another namespace, and with the container its sandbox goes. */
export class AdoptedContainers {
  constructor(
    private readonly registry: Registry,
    private readonly reconciler: Reconciler,
    private readonly docker: DockersContainers,
    private readonly log: Logger,
  ) {}

  /** A container's own files say what those of its sandbox do. */
  writeFiles(sandbox: SandboxRecord): void {
    this.#edit(sandbox, {
      hosts: ownHostsLines(this.registry, sandbox),
      resolvConf: resolvConfLines(withLeasedDns(this.registry, sandbox)),
    });
  }

  /** A container's own files are as Docker has made them. */
  restoreFiles(sandbox: SandboxRecord): void {
    this.#edit(sandbox, { hosts: [], resolvConf: undefined });
  }

  #edit(sandbox: SandboxRecord, lines: Parameters<typeof writeContainerFiles>[2]): void {
    const id = containerOf(sandbox);
    const container = id === undefined ? undefined : this.docker.find(id);
    if (container) writeContainerFiles(container, (file) => this.docker.pathOf(file), lines, this.log);
  }

  /**
   * Looks whether containers were started anew, or removed.
   * @param ids of containers; all without
   * @param onDone told when something may be otherwise
   */
  review(ids: ReadonlySet<string> | undefined, sandboxes: Sandboxes, onDone: () => void): void {
    for (const sandbox of this.registry.sandboxes.values()) {
      const id = containerOf(sandbox);
      if (id === undefined || (ids && !ids.has(id)) || !this.#isBehind(sandbox, id)) continue;
      void this.reconciler.background("an adopted container could not be followed", async () => {
        const known = this.registry.sandboxes.get(sandbox.id);
        if (known && this.#isBehind(known, id)) await this.#follow(known, id, sandboxes);
        onDone();
      });
    }
  }

  #isBehind({ namespace }: SandboxRecord, id: string): boolean {
    const container = this.docker.find(id);
    if (!container) return this.docker.isComplete();
    const target = namespaceOf(container);
    return target !== undefined && namespace.kind === "adopted" && namespace.target !== target;
  }

  async #follow(sandbox: SandboxRecord, id: string, sandboxes: Sandboxes): Promise<void> {
    const container = this.docker.find(id);
    const target = container && namespaceOf(container);
    if (target === undefined) {
      this.log.info({ sandbox: sandbox.name }, "an adopted container was removed, and its sandbox with it");
      return sandboxes.remove(sandbox);
    }
    await this.#moveTo(sandbox, adoptedNamespace(target, id));
    sandboxes.writeFiles(sandbox);
    this.log.info({ sandbox: sandbox.name }, "an adopted container was started anew, and is connected again");
  }

  /** The link to the old namespace goes first: its process's number may be somebody else's by now. */
  async #moveTo(sandbox: SandboxRecord, namespace: SandboxRecord["namespace"]): Promise<void> {
    const endpoints = this.registry.endpointsOf({ sandbox: sandbox.id }).map(({ id }) => id);
    await this.reconciler.change({ removed: { sandboxes: [sandbox.id], endpoints } });
    const moved: SandboxRecord = { ...sandbox, namespace, inode: 0 };
    this.registry.commit({ sandboxes: [moved] });
    await this.reconciler.change({ sandboxes: [{ ...wantedSandbox(moved), isFirst: true }] });
    await this.reconciler.change({ endpoints: this.reconciler.wantedEndpointsOf(sandbox.id) }, true);
  }
}
