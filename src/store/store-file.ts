// The two files of a store, beside what lmdb does with them: whether they may be opened, and that one process does.
import {
  closeSync,
  fsyncSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  constants,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { errorCode, PontoonError } from "../../common/errors.js";
import { createFile, openRegularFile, removeFile } from "../../common/files.js";
import { faultOfFolder } from "../../common/own-folder.js";
import { FileLock } from "../../linux/file-lock.js";
import { blankStore } from "./blank-store.js";
import { lockFileSize, mapSize } from "./lmdb.js";
import { pageFault, type PageFault } from "./page-check.js";

/** Throws STATE_DIR_UNFIT for a folder that others may write in. */
export function checkFolder(folder: string): void {
  const fault = faultOfFolder(folder);
  if (fault === undefined) return;
  const remedy =
    "choose a folder that only root may write, in folders that only root may write, such as /var/lib/pontoon";
  throw new PontoonError("STATE_DIR_UNFIT", folder, `--state-dir ${folder}: ${fault}; ${remedy}`);
}

/** Throws STATE_DIR_UNFIT, and what mkdir(2) says. */
export function makeFolder(folder: string): void {
  checkFolder(folder);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  checkFolder(folder); // another user may have been first
}

/** Makes the names in a folder last. */
export function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/**
 * Makes this process the only one that uses a store. The file is lmdb's own, which wants it as long as it will ever be: it is
 * mapped, and on a full disk a process that writes into a hole of it ends. Throws LOCK_UNFIT, ALREADY_RUNNING, and what
 * write(2) says.
 * @param path of the file of locks
 * @param folder the state directory, for messages
 */
export function lockStore(path: string, folder: string): FileLock {
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === false) removeFile(path);
  const lock = FileLock.take(path);
  if (!lock)
    throw new PontoonError(
      "ALREADY_RUNNING",
      folder,
      `another pontoon daemon remembers what it does in --state-dir ${folder}; stop it first, or give this one another folder`,
    );
  try {
    fillLockFile(path);
    return lock;
  } catch (error) {
    lock.letGo();
    throw error;
  }
}

function fillLockFile(path: string): void {
  const { size, blocks } = lstatSync(path);
  if (size >= lockFileSize && blocks * 512 >= lockFileSize) return;
  const file = openRegularFile(path, constants.O_WRONLY, { followLink: false });
  try {
    writeSync(file, Buffer.alloc(lockFileSize), 0, lockFileSize, 0);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes a store without records, whole and on disk, in the place of whatever is there. Throws what write(2) and rename(2) say. */
export function makeStoreFile(path: string): void {
  const passing = `${path}.new`;
  const file = createFile(passing);
  try {
    writeFileSync(file, blankStore(mapSize));
    fsyncSync(file);
    renameSync(passing, path);
  } catch (error) {
    removeFile(passing);
    throw error;
  } finally {
    closeSync(file);
  }
}

/** "missing", or what is wrong with a store's file. Throws FILE_UNFIT for what is no regular file, and what open(2) and read(2) say. */
export function faultOfFile(path: string): "missing" | PageFault {
  let file: number;
  try {
    file = openRegularFile(path, constants.O_RDONLY, { followLink: false });
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "missing";
    throw error;
  }
  try {
    return pageFault(fstatSync(file).size, (at, length) => readAt(file, at, length));
  } finally {
    closeSync(file);
  }
}

function readAt(file: number, at: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  return buffer.subarray(0, readSync(file, buffer, 0, length, at));
}
