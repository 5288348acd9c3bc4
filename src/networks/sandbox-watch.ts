import { existsSync, statSync, watch, type FSWatcher } from "node:fs";
import { join } from "node:path";
import { setImmediate as others } from "node:timers/promises";
import { isNamespace, namedNamespaces } from "../../linux/named-namespace.js";

/** A namespace that went away is to be noticed within a second. */
const every = 500; // ms

/** Paths that are looked at before others have their turn: less than a millisecond's worth. */
const atOnce = 64;

/** What is known of the namespace at a path. */
export interface WatchedInode {
  /** 0 for one that is not there. */
  readonly inode: number;
  /** Any other is as none. */
  readonly only: number | undefined;
}

/** Tells when namespaces of sandboxes come, go, or are replaced by others. */
export class SandboxWatch {
  #timer: NodeJS.Timeout | undefined;
  #files: FSWatcher | undefined;
  /** Names were made or removed here since the last look: a namespace may be another with the same number. */
  readonly #touched = new Set<string>();

  /**
   * @param inodes what is known: by path
   * @param onDifferent paths where it is otherwise, or may be; asked again as long as it is
   */
  constructor(
    private readonly inodes: () => ReadonlyMap<string, WatchedInode>,
    private readonly onDifferent: (paths: readonly string[]) => Promise<void>,
  ) {}

  /** Can be called twice. */
  start(): void {
    this.#watchFiles();
    this.#timer ??= setTimeout(() => void this.#look(), every).unref();
  }

  /** The folder is made with the first namespace. */
  #watchFiles(): void {
    if (this.#files || !existsSync(namedNamespaces)) return;
    this.#files = watch(namedNamespaces, { persistent: false }, (_, name) => {
      if (name !== null) this.#touched.add(join(namedNamespaces, name));
    });
    this.#files.on("error", () => this.#closeFiles()); // the folder is gone; it is watched again when it is back
  }

  #closeFiles(): void {
    this.#files?.close();
    this.#files = undefined;
  }

  /** Can be called twice. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#closeFiles();
  }

  async #look(): Promise<void> {
    const inodes = this.inodes();
    const touched = new Set(this.#touched);
    this.#touched.clear();
    const different: string[] = [];
    for (const [index, [path, watched]] of [...inodes].entries()) {
      if (index % atOnce === atOnce - 1) await others();
      if (touched.has(path) || isDifferent(path, watched)) different.push(path);
    }
    if (different.length > 0) await this.onDifferent(different);
    if (this.#timer === undefined) return;
    this.#timer = undefined;
    if (inodes.size > 0) this.start();
  }
}

function isDifferent(path: string, { inode, only }: WatchedInode): boolean {
  const found = inodeAt(path);
  return (only === undefined || found === only ? found : 0) !== inode;
}

/** Of the namespace there; 0 for none. */
function inodeAt(path: string): number {
  return isNamespace(path) ? (statSync(path, { throwIfNoEntry: false })?.ino ?? 0) : 0;
}
