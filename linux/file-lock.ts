import { accessSync, closeSync, constants, fstatSync, lstatSync, openSync, unlinkSync } from "node:fs";
import { errorCode, PontoonError } from "../common/errors.js";
import { namespaceOf } from "./proc.js";
import { bind, check, lastErrno } from "./ffi.js";
import { EAGAIN } from "./constants.js";

const flock = bind("int flock(int, int)");
const LOCK_EX = 2;
const LOCK_NB = 4;
const triesAtMost = 8;
/** A link that somebody put in its place is not followed, and a fifo not waited for. */
const asItIs = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Where locks for the whole host are: in the host's own /run, also when this process is in a container that shares its processes. */
export function lockFolder(): string {
  try {
    const hosts = namespaceOf(1, "mnt");
    if (hosts === undefined || hosts === namespaceOf("self", "mnt")) return "/run";
    accessSync("/proc/1/root/run", constants.W_OK);
    return "/proc/1/root/run";
  } catch {
    return "/run"; // not root, or not allowed to look at other processes
  }
}

/** A file that at most one process holds; the kernel lets go of it when that process ends, however it does. */
export class FileLock {
  private constructor(
    private readonly path: string,
    private readonly fd: number,
  ) {}

  /** Throws LOCK_UNFIT. @returns undefined when another process holds it */
  static take(path: string): FileLock | undefined {
    for (let tried = 0; tried < triesAtMost; tried++) {
      const fd = openLock(path);
      if (flock(fd, LOCK_EX | LOCK_NB) !== 0) {
        const errno = lastErrno();
        closeSync(fd);
        if (errno === EAGAIN) return undefined;
        check(-1, "flock", path);
      }
      // Its last holder may have removed it between our opening and our locking: then the lock is on nothing.
      if (lstatSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return new FileLock(path, fd);
      closeSync(fd);
    }
    return undefined;
  }

  /** Whether some process holds the lock of an existing file. Throws ENOENT, EACCES. */
  static isHeld(path: string): boolean {
    const fd = openSync(path, constants.O_RDONLY | asItIs);
    try {
      return flock(fd, LOCK_EX | LOCK_NB) !== 0;
    } finally {
      closeSync(fd); // and with it releases the lock
    }
  }

  /** Releases the lock, and leaves the file for the next that takes it. */
  letGo(): void {
    closeSync(this.fd);
  }

  /** Throws what unlink(2) says; the lock is released all the same. */
  release(): void {
    try {
      unlinkSync(this.path);
    } finally {
      closeSync(this.fd);
    }
  }
}

function openLock(path: string): number {
  const unfit = (why: string, cause?: unknown) =>
    new PontoonError("LOCK_UNFIT", path, `${path} ${why}, then start again`, { cause });
  const notRegular = "is not a regular file, so it cannot be locked; remove it";
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | asItIs, 0o600);
  } catch (error) {
    const code = errorCode(error) ?? "unknown error";
    throw unfit(
      ["ELOOP", "EISDIR", "ENXIO"].includes(code) ? notRegular : `cannot be made (${code}); permit writing there`,
      error,
    );
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw unfit(notRegular);
}
