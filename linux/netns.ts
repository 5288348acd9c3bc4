import { closeSync, fstatSync, openSync } from "node:fs";
import { namespacePath } from "./proc.js";
import { bind, check } from "./ffi.js";
import { CLONE_NEWNET } from "./constants.js";

const setns = bind("int setns(int, int)");
const unshare = bind("int unshare(int)");
const ioctl = bind("int ioctl(int, unsigned long, void *)");
const NS_GET_NSTYPE = 0xb703; // ioctl_ns(2)

/** The inode that identifies a network namespace, as long as it lives. */
export function namespaceInode(path: string): number {
  const fd = openSync(path, "r");
  try {
    return fstatSync(fd).ino;
  } finally {
    closeSync(fd);
  }
}

/** Whether a namespace is one of networks. */
export function isNetworkNamespace(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    return ioctl(fd, NS_GET_NSTYPE, null) === CLONE_NEWNET;
  } finally {
    closeSync(fd);
  }
}

/** The network namespace this process lives in. */
export const ownNamespacePath = namespacePath("self", "net");

/**
 * Runs `work` with the calling thread inside the network namespace at `path`, and always comes back.
 * `work` is synchronous and must start nothing asynchronous: libuv's threads would be born in the wrong namespace.
 * A thread that could not come back would act on the wrong namespace from then on, so the process ends instead.
 * @param expectedInode guards against a pid or path that by now stands for another namespace
 */
export function insideNamespace<Result>(path: string, expectedInode: number | undefined, work: () => Result): Result {
  const enter = () => {
    const target = openSync(path, "r");
    try {
      const inode = fstatSync(target).ino;
      if (expectedInode !== undefined && inode !== expectedInode)
        throw new Error(`${path} is network namespace ${inode} by now, no longer ${expectedInode}`);
      check(setns(target, CLONE_NEWNET), "setns", path);
    } finally {
      closeSync(target);
    }
  };
  return elsewhere(path, enter, work);
}

/** Runs `work` in a new, empty network namespace, which ends with it. The same rules as for {@link insideNamespace}. */
export function insideNewNamespace<Result>(work: () => Result): Result {
  return elsewhere("a new one", () => check(unshare(CLONE_NEWNET), "unshare", "CLONE_NEWNET"), work);
}

function elsewhere<Result>(where: string, enter: () => void, work: () => Result): Result {
  const home = openSync("/proc/thread-self/ns/net", "r");
  try {
    enter();
    try {
      return work();
    } finally {
      if (setns(home, CLONE_NEWNET) !== 0) {
        process.stderr.write(`pontoon: could not leave the network namespace ${where}; ending the process\n`);
        process.abort();
      }
    }
  } finally {
    closeSync(home);
  }
}
