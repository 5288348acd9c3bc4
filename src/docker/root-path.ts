import { readlinkSync } from "node:fs";
import { errorCode } from "../errors.js";

const linksAtMost = 40;

/**
 * A file of another root directory, as it can be opened from here: links in its path are followed inside that root,
 * which the kernel would do only for relative ones.
 * @param root e.g. `/proc/4711/root`; empty for our own, where nothing has to be done
 * @param file absolute
 */
export function pathInRoot(root: string, file: string): string {
  if (root === "") return file;
  const pending = file.split("/").filter((part) => part !== "");
  let reached: string[] = [];
  for (let links = 0; pending.length > 0; ) {
    const part = pending.shift()!;
    if (part === "." || part === "..") {
      if (part === "..") reached.pop();
      continue;
    }
    const target = links < linksAtMost ? linkAt(`${root}/${[...reached, part].join("/")}`) : undefined; // else it leads to itself
    if (target === undefined) reached.push(part);
    else {
      links++;
      if (target.startsWith("/")) reached = [];
      pending.unshift(...target.split("/").filter((name) => name !== ""));
    }
  }
  return `${root}/${reached.join("/")}`;
}

/** Where a link leads; undefined for what is none, or is not there. */
function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    const code = errorCode(error);
    if (code === "EINVAL" || code === "ENOENT" || code === "ENOTDIR" || code === "EACCES" || code === "ESRCH") return undefined;
    throw error;
  }
}
