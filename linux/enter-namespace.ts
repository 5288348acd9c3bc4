import { accessSync, closeSync, constants, existsSync, openSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { CLONE_NEWNET } from "./constants.js";
import { bind, check } from "./ffi.js";

const c = {
  setns: bind("int setns(int, int)"),
  unshare: bind("int unshare(int)"),
  mount: bind("int mount(const char *, const char *, const char *, unsigned long, void *)"),
  umount: bind("int umount2(const char *, int)"),
  sethostname: bind("int sethostname(const char *, size_t)"),
};
const CLONE_NEWNS = 0x20000;
const CLONE_NEWUTS = 0x4000000;
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SLAVE = 1 << 19;
const MNT_DETACH = 2;

/**
 * Takes the calling thread into a network namespace for good, with a hostname and with files mounted over others, which nobody
 * else sees; /sys is that of the namespace. For a process that becomes another program next. Throws a LinuxError.
 * @param files what is mounted over what; what is not there is left out
 */
export function enterNamespace(
  path: string,
  hostname: string,
  files: readonly (readonly [source: string, target: string])[],
): void {
  joinNamespace(path);
  check(c.unshare(CLONE_NEWNS | CLONE_NEWUTS), "unshare", "CLONE_NEWNS");
  check(c.mount("", "/", "none", MS_SLAVE | MS_REC, null), "mount", "/");
  if (c.umount("/sys", MNT_DETACH) === 0) check(c.mount("sysfs", "/sys", "sysfs", 0, null), "mount", "/sys");
  for (const [source, target] of files)
    if (existsSync(source) && existsSync(target))
      check(c.mount(source, target, "none", MS_BIND, null), "mount", target);
  check(c.sethostname(hostname, Buffer.byteLength(hostname)), "sethostname", hostname);
}

/** Takes the calling thread into a network namespace for good. Threads that were born before stay where they are. Throws a LinuxError. */
export function joinNamespace(path: string): void {
  const namespace = openSync(path, "r");
  try {
    check(c.setns(namespace, CLONE_NEWNET), "setns", path);
  } finally {
    closeSync(namespace);
  }
}

/** Where a program is that is called by its name or its path; undefined when there is none that can be executed. */
export function findProgram(name: string, path = process.env.PATH ?? ""): string | undefined {
  const places = name.includes("/") ? [name] : path.split(delimiter).map((folder) => join(folder || ".", name));
  return places.find((place) => {
    try {
      accessSync(place, constants.X_OK);
      return statSync(place).isFile();
    } catch {
      return false;
    }
  });
}
