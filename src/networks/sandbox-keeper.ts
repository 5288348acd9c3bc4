import type { Logger } from "pino";
import type { Reconciler } from "./reconciler.js";
import type { SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { SandboxWatch, type WatchedInode } from "./sandbox-watch.js";
import { namespacePathOf } from "./wanted.js";

/** Connects sandboxes again whose namespaces have come back, and knows of those whose namespaces have gone. */
export class SandboxKeeper {
  readonly #watch: SandboxWatch;

  /** @param onLooked told when sandboxes may be otherwise */
  constructor(
    private readonly registry: Registry,
    private readonly reconciler: Reconciler,
    private readonly log: Logger,
    private readonly onLooked: () => void,
  ) {
    this.#watch = new SandboxWatch(
      () => new Map([...registry.sandboxes.values()].map(watchedInode)),
      (paths) => this.#lookAt(paths),
    );
  }

  /** Can be called twice. */
  start(): void {
    this.#watch.start();
  }

  /** Can be called twice. */
  stop(): void {
    this.#watch.stop();
  }

  #lookAt(paths: readonly string[]): Promise<void> {
    return this.reconciler.background("sandboxes could not be looked at", async () => {
      const at = new Set(paths);
      const sandboxes = [...this.registry.sandboxes.values()].filter(({ name }) => at.has(namespacePathOf(name)));
      if (sandboxes.length === 0) return;
      const steps = await this.reconciler.look(sandboxes.map(({ id }) => id));
      for (const sandbox of sandboxes) this.#tellOf(sandbox, steps > 0);
      this.onLooked();
    });
  }

  /** @param before as it was known @param isMended whether something had to be done */
  #tellOf({ id, name, inode }: SandboxRecord, isMended: boolean): void {
    const known = this.registry.sandboxes.get(id)?.inode;
    if (known === inode && !isMended) return; // only its name was touched, by ourselves perhaps
    const what = known === 0 ? "has gone" : "is there again";
    this.log.info({ sandbox: name }, `a sandbox's network namespace ${what}`);
  }
}

function watchedInode({ name, inode, namespace }: SandboxRecord): [string, WatchedInode] {
  return [namespacePathOf(name), { inode, only: namespace.kind === "adopted" ? namespace.inode : undefined }];
}
