import { statSync } from "node:fs";
import { isNamespace } from "../../linux/named-namespace.js";

/** A namespace that went away is to be noticed within a second. */
const every = 500; // ms

/** Tells when namespaces of sandboxes come, go, or are replaced by others. */
export class SandboxWatch {
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param inodes what is known: by path, 0 for one that is not there
   * @param onDifferent paths where it is otherwise; asked again as long as it is
   */
  constructor(
    private readonly inodes: () => ReadonlyMap<string, number>,
    private readonly onDifferent: (paths: readonly string[]) => Promise<void>,
  ) {}

  /** Can be called twice. */
  start(): void {
    this.#timer ??= setTimeout(() => void this.#look(), every).unref();
  }

  /** Can be called twice. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #look(): Promise<void> {
    const inodes = this.inodes();
    const different = [...inodes].filter(([path, inode]) => inodeAt(path) !== inode).map(([path]) => path);
    if (different.length > 0) await this.onDifferent(different);
    if (this.#timer === undefined) return;
    this.#timer = undefined;
    if (inodes.size > 0) this.start();
  }
}

/** Of the namespace there; 0 for none. */
function inodeAt(path: string): number {
  return isNamespace(path) ? (statSync(path, { throwIfNoEntry: false })?.ino ?? 0) : 0;
}
