import { fstatSync, statSync, watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";
import type { Watch } from "./poller.js";

/** Can be closed more than once, also from inside `onGone`. */
export type FileWatch = Pick<Watch, "close">;

/** Without news of the folder, and in case one was lost: when each file is looked at, ms. */
const lookEvery = { unwatched: 500, watched: 5000 } as const;

interface Watched {
  readonly path: string;
  readonly identity: string;
  readonly onGone: () => void;
}

/** A folder with names of namespaces, and those of its files that somebody wants to hear about. */
interface Folder {
  readonly files: Map<string, Set<Watched>>;
  news: FSWatcher | undefined;
  look: NodeJS.Timeout | undefined;
}

/**
 * Tells when files that stand for namespaces (such as `/run/netns/web`) are gone, or stand for others: what `ip netns del`
 * does is known within milliseconds. One inotify watch for each folder, whatever it holds; where there can be none, files
 * are looked at twice a second. Needs Node's event loop, and no privilege.
 */
export class NamespaceFiles {
  readonly #folders = new Map<string, Folder>();

  /**
   * @param path of the file
   * @param descriptor of the namespace it stands for now; not kept
   * @param onGone called once, and never from inside: at once when it is gone already
   */
  watch(path: string, descriptor: number, onGone: () => void): FileWatch {
    const { dev, ino } = fstatSync(descriptor);
    const watched: Watched = { path, identity: identityOf({ dev, ino }), onGone };
    const [folderPath, name] = [dirname(path), basename(path)];
    const folder = this.#folders.get(folderPath) ?? this.#openFolder(folderPath);
    const others = folder.files.get(name) ?? new Set();
    folder.files.set(name, others.add(watched));
    setImmediate(() => this.#look(folderPath, name)); // it may have gone before the folder was watched
    return { close: () => this.#forget(folderPath, name, watched) };
  }

  #openFolder(path: string): Folder {
    const folder: Folder = { files: new Map(), news: undefined, look: undefined };
    this.#folders.set(path, folder);
    const unwatched = () => {
      folder.news?.close();
      folder.news = undefined;
      this.#lookEvery(path, folder, lookEvery.unwatched);
    };
    this.#lookEvery(path, folder, lookEvery.watched);
    try {
      folder.news = watch(path, { persistent: false }, (_, name) => {
        if (name !== null && folder.files.has(name)) this.#look(path, name);
        else if (name === null || name === basename(path)) this.#lookAtAll(path, folder); // of the folder itself
      });
      folder.news.on("error", unwatched);
    } catch {
      unwatched(); // this user has as many watches as it may have, or the folder is gone
    }
    return folder;
  }

  #lookEvery(path: string, folder: Folder, time: number): void {
    clearInterval(folder.look);
    folder.look = setInterval(() => this.#lookAtAll(path, folder), time);
    folder.look.unref();
  }

  #lookAtAll(path: string, folder: Folder): void {
    for (const name of [...folder.files.keys()]) this.#look(path, name);
  }

  #look(folderPath: string, name: string): void {
    for (const watched of [...(this.#folders.get(folderPath)?.files.get(name) ?? [])]) {
      if (identityAt(watched.path) === watched.identity) continue;
      this.#forget(folderPath, name, watched);
      watched.onGone();
    }
  }

  #forget(folderPath: string, name: string, watched: Watched): void {
    const folder = this.#folders.get(folderPath);
    const files = folder?.files.get(name);
    if (!folder || files?.delete(watched) !== true) return;
    if (files.size === 0) folder.files.delete(name);
    if (folder.files.size > 0) return;
    this.#folders.delete(folderPath);
    clearInterval(folder.look);
    folder.news?.close();
  }
}

function identityOf({ dev, ino }: { readonly dev: number; readonly ino: number }): string {
  return `${dev} ${ino}`;
}

/** Undefined when there is no such file. */
function identityAt(path: string): string | undefined {
  try {
    return identityOf(statSync(path));
  } catch {
    return undefined;
  }
}
