import { createRequire } from "node:module";
import type { open as openLmdb, RootDatabase } from "lmdb";
import { keepFromOthers } from "../../linux/descriptors.js";
import { leaveOut, placeOf } from "../../common/left-out-modules.js";

/** Records by place, as text. */
export type Environment = RootDatabase<string, string>;

/** Bytes of address space at first; more are mapped for a longer file. */
export const mapSize = 64 * 1024 * 1024;
/** Processes and threads that read at once, at most. */
const readersAtMost = 4;

/** Bytes that the file of locks has to have: written beforehand, since lmdb maps it, and a full disk would end the process. */
export const lockFileSize = 4096;

/** What the library reads and writes its own encoding with. We store text. */
const unused = ["msgpackr"];

let loaded: typeof openLmdb | undefined;

/** Loads the library and its binary, once. Throws what dlopen(3) says, as on systems with a libc that is too old. */
export function loadLmdb(): typeof openLmdb {
  if (loaded) return loaded;
  const own = createRequire(import.meta.url);
  const entry = placeOf(own, "lmdb");
  if (entry !== undefined) leaveOut(createRequire(entry), unused);
  loaded = (own("lmdb") as { readonly open: typeof openLmdb }).open;
  return loaded;
}

/**
 * Opens a file that is there and whole, as is its file of locks: where lmdb fails to open one, it may end the process.
 *
 * A transaction is written to new pages, those are flushed (one fdatasync), then the page that says where they are is written
 * and not flushed (MDB_NOMETASYNC): after a loss of power it may still say what it said before, so the last transaction may
 * be lost, and nothing else. What another process reads is in the kernel's cache, whatever becomes of this one.
 */
export function openEnvironment(path: string, { readOnly }: { readonly readOnly: boolean }): Environment {
  const environment = loadLmdb()<string, string>({
    path,
    noSubdir: true,
    readOnly,
    encoding: "string",
    mapSize,
    maxReaders: readersAtMost,
    cache: false,
    overlappingSync: false,
    noMetaSync: true,
    permissionsMode: 0o600,
  } as Parameters<typeof openLmdb>[0]);
  keepFromOthers(path); // lmdb forgets O_CLOEXEC for one of them, and servers are not to write here
  return environment;
}
