import { watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { isNamespace } from "../../linux/named-namespace.js";

/** dockerd makes the file first, and mounts the namespace on it within a millisecond or two: it is looked at so often, ms. */
const lookEvery = 1;
/** When something has happened to the file, it is looked at so long, ms; else now and then, since news may be missed. */
const newsLast = 20;
const lookAnyway = 100;

/**
 * Resolves when a network namespace is mounted at a path. Costs nothing while nothing happens there.
 * @param time until it is given up, ms
 * @returns whether it is there
 */
export async function namespaceAt(path: string, time: number): Promise<boolean> {
  const end = performance.now() + time;
  const news = new News(path);
  try {
    while (performance.now() < end) {
      if (isNamespace(path)) return true;
      await (news.isFresh ? pause(lookEvery, undefined, { ref: false }) : news.next(lookAnyway));
    }
    return isNamespace(path);
  } finally {
    news.close();
  }
}

/** Tells that something has happened to a file. */
class News {
  #watcher: FSWatcher | undefined;
  #last = -Infinity;
  #heard: () => void = () => undefined;

  constructor(private readonly path: string) {
    this.#watch();
  }

  get isFresh(): boolean {
    return performance.now() - this.#last < newsLast;
  }

  /** Resolves with the next news, or after a time. */
  next(time: number): Promise<void> {
    this.#watch();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, time).unref();
      this.#heard = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close(): void {
    this.#watcher?.close();
  }

  /** The folder is there with the first container only. */
  #watch(): void {
    if (this.#watcher) return;
    try {
      this.#watcher = watch(dirname(this.path), { persistent: false }, (_, name) => {
        if (name !== basename(this.path)) return;
        this.#last = performance.now();
        this.#heard();
      });
      this.#watcher.on("error", () => undefined); // it is looked at anyway
    } catch {
      // There is no such folder yet, or no watch is left.
    }
  }
}
