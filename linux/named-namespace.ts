import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  rmSync,
  statSync,
  statfsSync,
  symlinkSync,
} from "node:fs";
import { dirname } from "node:path";
import { errorCode } from "../common/errors.js";
import { bind, check, LinuxError } from "./ffi.js";
import { insideNewNamespace } from "./netns.js";

// Network namespaces with a name, as ip-netns(8) has them: a file on which the namespace is mounted, so that it lives without a
// process. A link to a process's namespace is one, too, for whoever opens it, and keeps nothing alive.

const c = {
  mount: bind("int mount(const char *, const char *, const char *, unsigned long, void *)"),
  umount: bind("int umount2(const char *, int)"),
};
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 1 << 20;
const MNT_DETACH = 2;
const NSFS_MAGIC = 0x6e736673;

/** Where `ip netns` keeps them. */
export const namedNamespaces = "/run/netns";

/**
 * Makes a new network namespace with a name. `work` runs inside it first, synchronously; see {@link insideNewNamespace}.
 * Throws a LinuxError; EEXIST when there is something of that name, except an empty file if that may be taken. Nothing is left of one that fails.
 * @param path the file, e.g. /run/netns/web
 */
export function makeNamedNamespace(
  path: string,
  work: () => void = () => undefined,
  { takesEmptyFile = true }: { readonly takesEmptyFile?: boolean } = {},
): void {
  shareFolder(dirname(path));
  makeFile(path, takesEmptyFile);
  try {
    insideNewNamespace(() => {
      work();
      check(c.mount("/proc/thread-self/ns/net", path, "none", MS_BIND, null), "mount", path);
    });
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/** An empty file is what is left where a process ended before it had mounted the namespace. */
function makeFile(path: string, takesEmptyFile: boolean): void {
  try {
    closeSync(openSync(path, "wx", 0o000));
  } catch (error) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    const isLeftOver = found?.isFile() === true && found.size === 0 && !isNamespace(path);
    if (errorCode(error) !== "EEXIST" || !takesEmptyFile || !isLeftOver) throw error; // it is somebody's
  }
}

/** Gives the namespace of a process a name. Throws EEXIST when there is something else of that name. */
export function linkNamespace(path: string, target: string): void {
  shareFolder(dirname(path));
  if (isLink(path) && readlinkSync(path) === target) return; // the process may have ended since
  symlinkSync(target, path);
}

/** Takes away a name that {@link linkNamespace} has given. Does nothing for what else has it by now. */
export function unlinkNamespace(path: string, target: string): void {
  if (isLink(path) && readlinkSync(path) === target) rmSync(path, { force: true });
}

/** Takes the name away, and with it the namespace, once nobody else has it. Does nothing when there is none. Throws a LinuxError. */
export function removeNamedNamespace(path: string): void {
  if (!isLink(path))
    try {
      check(c.umount(path, MNT_DETACH), "umount", path);
    } catch (error) {
      // Not there, or there without a namespace: an `ip netns add` that was cut short leaves an empty file.
      if (!(error instanceof LinuxError) || (error.code !== "ENOENT" && error.code !== "EINVAL")) throw error;
    }
  rmSync(path, { force: true });
}

/** Whether a network namespace, or a link to one, is there. @param inode that it is this one, and no later one of its name */
export function isNamespace(path: string, inode?: number): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC && (inode === undefined || statSync(path).ino === inode);
  } catch {
    return false; // not there, or a link to a process that has ended
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** As `ip netns add` does: names made here are seen in mount namespaces made earlier, and can be removed there. */
function shareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  if (c.mount("", folder, "none", MS_SHARED | MS_REC, null) === 0) return;
  check(c.mount(folder, folder, "none", MS_BIND | MS_REC, null), "mount", folder);
  check(c.mount("", folder, "none", MS_SHARED | MS_REC, null), "mount", folder);
}
