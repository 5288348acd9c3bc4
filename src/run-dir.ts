import { mkdirSync } from "node:fs";
import type { Logger } from "pino";
import { describeError, errorCode, PontoonError } from "../common/errors.js";
import { faultOfFolder, faultOfWriting } from "../common/own-folder.js";

const longestSocket = "/proxy-control.sock.new";
const socketPathAtMost = 107; // bytes, unix(7)

/** Files of the run directory, by whose they are. */
export const runDirFiles = {
  daemon: ["control.sock", "plugin.sock"],
  dns: ["dns.sock", "dns.log", "dns.pid"],
  proxy: ["proxy.sock", "proxy-control.sock", "proxy.log", "proxy.pid"],
} as const;

/** Throws RUN_DIR_UNFIT. Node cuts a longer path short, and listens at what is left of it. */
export function requireShortPath(path: string): void {
  if (Buffer.byteLength(`${path}${longestSocket}`) > socketPathAtMost)
    throw unfit(
      path,
      `--run-dir ${path}: too long for a unix socket; choose a path of ${socketPathAtMost - longestSocket.length} bytes at most`,
    );
}

/** Root writes there under names that everybody knows. Throws RUN_DIR_UNFIT. */
export function makeRunDir(path: string): void {
  refuseSharedFolder(path);
  const fault = faultOfWriting(path);
  // A server that runs already needs no room.
  if (fault !== undefined && fault.code !== "ENOSPC")
    throw unfit(path, `--run-dir ${path}: it is ${fault.what}; permit writing there, or choose another folder`);
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    const code = errorCode(error) ?? "unknown error";
    throw unfit(path, `--run-dir ${path} cannot be made (${code}); choose a folder`, error);
  }
  refuseSharedFolder(path); // another user may have been first
}

/** What cannot be removed is no reason to end badly: the next daemon, or `pontoon check --repair`, makes up for it. */
export function tidyUp(log: Logger, removals: readonly (() => void)[]): void {
  for (const remove of removals)
    try {
      remove();
    } catch (error) {
      log.warn({ reason: describeError(error) }, "a file of the daemon's could not be removed");
    }
}

function refuseSharedFolder(path: string): void {
  const fault = faultOfFolder(path);
  if (fault === undefined) return;
  const remedy = "choose a folder that only root may write, in folders that only root may write, such as /run/pontoon";
  throw unfit(path, `--run-dir ${path}: ${fault}; ${remedy}`);
}

function unfit(path: string, message: string, cause?: unknown): PontoonError {
  return new PontoonError("RUN_DIR_UNFIT", path, message, { cause });
}
