import { readlinkSync } from "node:fs";
import { errorCode } from "../../common/errors.js";
import type { Opening } from "../../common/files.js";

const linksAtMost = 40;
const pathAtMost = 4096; // letters, PATH_MAX
/** Parts of the path and of all links in it; no path of Docker's has nearly as many. */
const partsAtMost = 256;
/** A path where there is no file, and never will be. */
const noPath = "/proc/self/no-such-path";

/**
 * A file of another root directory, as it can be opened from here: links in its path are followed inside that root,
 * which the kernel would do only for relative ones.
 * @param root e.g. `/proc/4711/root`; empty for our own, where nothing has to be done
 * @param file absolute
 * @param followLink whether a link in its last part is followed too
 */
export function pathInRoot(root: string, file: string, { followLink }: Opening = { followLink: true }): string {
  if (root === "") return file;
  if (file.length > pathAtMost) return noPath;
  const pending = partsOf(file);
  let reached: string[] = [];
  for (let links = 0, parts = 0; pending.length > 0; parts++) {
    const part = pending.shift()!;
    if (parts > partsAtMost) return noPath;
    if (part === "." || part === "..") {
      if (part === "..") reached.pop();
      continue;
    }
    const mayLead = links < linksAtMost && (followLink || pending.length > 0);
    const target = mayLead ? linkAt(`${root}/${[...reached, part].join("/")}`) : undefined; // else it leads to itself
    if (target === undefined) reached.push(part);
    else {
      links++;
      if (target.startsWith("/")) reached = [];
      pending.unshift(...partsOf(target));
    }
  }
  return `${root}/${reached.join("/")}`;
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

/** Errors of readlink(2) for what is not a link, not there, or cannot be looked at. Opening it tells which. */
const noLink: ReadonlySet<string> = new Set([
  "EINVAL",
  "ENOENT",
  "ENOTDIR",
  "EACCES",
  "ESRCH",
  "ENAMETOOLONG",
  "ELOOP",
]);

/** Where a link leads; undefined for what is not a link, or not there. */
function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (noLink.has(errorCode(error) ?? "")) return undefined;
    throw error;
  }
}
