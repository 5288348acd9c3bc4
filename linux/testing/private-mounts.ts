import { mkdirSync } from "node:fs";
import { bind, check } from "../ffi.js";
import { namedNamespaces } from "../named-namespace.js";

const unshare = bind("int unshare(int)");
const mount = bind("int mount(const char *, const char *, const char *, unsigned long, void *)");
const CLONE_NEWNS = 0x20000;
const MS_REC = 0x4000;
const MS_PRIVATE = 1 << 18;
let isDone = false;

/**
 * What this test mounts, and programs it starts, is seen by nobody else, and ends with it; `ip netns` finds no namespace of the
 * machine's. Counts for the main thread. Can be called twice. Does nothing without root, who alone can mount.
 */
export function mountPrivately(): void {
  if (isDone || process.getuid?.() !== 0) return;
  isDone = true;
  check(unshare(CLONE_NEWNS), "unshare", "CLONE_NEWNS");
  check(mount("none", "/", "none", MS_REC | MS_PRIVATE, null), "mount", "/");
  mkdirSync(namedNamespaces, { recursive: true });
  check(mount("netns", namedNamespaces, "tmpfs", 0, null), "mount", namedNamespaces);
}
