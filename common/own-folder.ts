import { accessSync, constants, lstatSync, readlinkSync, statfsSync, type Stats } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { errorCode } from "./errors.js";

const linksAtMost = 40;
/** Bytes; only a few pages of text are ever written there. */
const roomNeeded = 64 * 1024;
const othersMayWrite = 0o022;
const sticky = 0o1000;

/**
 * Why files in a folder are not safe from other users: somebody else owns it or may write there, or may put another folder
 * in its place somewhere on the way. Undefined when they are safe, also when the folder is still to be made. Links on the
 * way are followed if nobody else can change them, as /var/run is.
 */
export function faultOfFolder(path: string): string | undefined {
  const pending = partsOf(resolve(path));
  let reached = "/";
  let fault = faultOf(reached, lstatSync(reached), pending.length === 0);
  for (let links = 0; fault === undefined && pending.length > 0;) {
    const place = join(reached, pending.shift()!); // `..` too: nothing in `reached` is a link
    const stat = statOf(place);
    if (typeof stat === "string") return stat === "ENOENT" ? undefined : `${place} cannot be looked at (${stat})`;
    if (stat.isSymbolicLink()) {
      if (++links > linksAtMost) return `${place} is one of too many links`;
      if (!isOurs(stat)) return ownedByOthers(place, stat);
      const target = readlinkSync(place);
      if (target.startsWith("/")) reached = "/";
      pending.unshift(...partsOf(target));
    } else {
      reached = place;
      fault = faultOf(place, stat, pending.length === 0);
    }
    if (pending.length === 0 && fault === undefined) fault = faultOf(reached, lstatSync(reached), true); // a link to it was last
  }
  return fault;
}

/** Why nothing can be written in a folder: a code, and the same in words that come after "it is". */
export interface WritingFault {
  readonly code: string;
  readonly what: string;
}

/** Why nothing could be written in a folder, there or still to be made. Undefined when something can. Changes nothing. */
export function faultOfWriting(path: string): WritingFault | undefined {
  const folder = resolve(path);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    const { blocks, bfree, bsize } = statfsSync(folder);
    return blocks > 0 && bfree * bsize < roomNeeded ? writingFault("ENOSPC") : undefined; // a tmpfs without a limit says that it has no blocks
  } catch (error) {
    const code = errorCode(error) ?? "unknown error";
    return code === "ENOENT" && folder !== "/" ? faultOfWriting(dirname(folder)) : writingFault(code);
  }
}

function writingFault(code: string): WritingFault {
  const words: Record<string, string> = {
    EROFS: "on a read-only file system",
    ENOSPC: "on a full file system",
    EACCES: "closed for writing",
    EPERM: "closed for writing",
  };
  return { code, what: `${words[code] ?? "out of reach"} (${code})` };
}

function faultOf(place: string, stat: Stats, isLast: boolean): string | undefined {
  if (!stat.isDirectory()) return `${place} is not a folder`;
  if (!isOurs(stat)) return ownedByOthers(place, stat);
  if ((stat.mode & othersMayWrite) === 0) return undefined;
  // What is root's in a sticky folder, only root can move or remove.
  return !isLast && (stat.mode & sticky) !== 0
    ? undefined
    : `others than its owner may write in ${place} (mode ${(stat.mode & 0o7777).toString(8)})`;
}

function ownedByOthers(place: string, { uid }: Stats): string {
  return `${place} belongs to user ${uid}`;
}

/** Root is as good as ourselves: it can do anything in any case. */
function isOurs({ uid }: Stats): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

function statOf(path: string): Stats | string {
  try {
    return lstatSync(path);
  } catch (error) {
    return errorCode(error) ?? "unknown error";
  }
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}
