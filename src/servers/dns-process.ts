import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errorCode, PontoonError } from "../errors.js";
import { LinuxError } from "../linux/ffi.js";
import { emptyBoundingSet } from "../linux/privileges.js";
import { bindUnix, closeDescriptor, connectUnix, listenSocket, packetSocket } from "../linux/socket.js";

const program = fileURLToPath(new URL("../../dns/main.js", import.meta.url));
/** A small young generation, in MB each half: a flood of questions to forward would make it grow to 48 MB otherwise. */
const heapFlags = ["--max-semi-space-size=4"];
/** User and group of pontoon-dns. A number of its own, so that no other program's files or processes are its. */
export const DNS_USER = 28782;

/** Connects to a pontoon-dns that runs already. @returns undefined when there is none */
export function connectToServer(socketPath: string): number | undefined {
  const fd = packetSocket();
  try {
    connectUnix(fd, socketPath);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    if (error instanceof LinuxError && (error.code === "ENOENT" || error.code === "ECONNREFUSED")) return undefined;
    throw error;
  }
}

export interface ServerFiles {
  readonly socketPath: string;
  /** Where a crash writes its last words. */
  readonly logPath: string;
  readonly pidPath: string;
  readonly version: string;
}

/**
 * Starts a pontoon-dns in a session of its own, so that Ctrl-C and the daemon's end do not take it along.
 * Its control socket listens before it runs: a connection waits until the server is ready.
 * The daemon itself can start no program with capabilities from then on.
 */
export function startServer({ socketPath, logPath, pidPath, version }: ServerFiles): ChildProcess {
  const listener = packetSocket();
  try {
    unlinkIfThere(socketPath);
    const mask = process.umask(0o177);
    try {
      bindUnix(listener, socketPath);
    } finally {
      process.umask(mask);
    }
    listenSocket(listener, 8);
    const log = openSync(logPath, "w", 0o600);
    try {
      emptyBoundingSet();
      const child = spawn(process.execPath, [...heapFlags, program, "--user", String(DNS_USER), "--version", version], {
        detached: true,
        stdio: ["ignore", "ignore", log, listener],
        argv0: "pontoon-dns",
        cwd: "/",
      });
      child.unref();
      writeFileSync(pidPath, `${child.pid}\n`, { mode: 0o600 });
      return child;
    } finally {
      closeSync(log);
    }
  } catch (error) {
    throw new PontoonError("DNS_SERVER_START", socketPath, `pontoon-dns could not be started at ${socketPath}`, { cause: error });
  } finally {
    closeDescriptor(listener);
  }
}

/** The server that was started last, by whichever daemon. */
export function pidOfServer(pidPath: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidPath, "utf8"));
    return isServer(pid) ? pid : undefined;
  } catch {
    return undefined; // none has been started yet
  }
}

/**
 * Whether a process runs as pontoon-dns does. A server that was broken into could name any process as itself; this one
 * has root, and signals none of another user.
 */
export function isServer(pid: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return new RegExp(`^Uid:\\s+${DNS_USER}\\s`, "m").test(status) && !/^State:\s+Z/m.test(status);
  } catch {
    return false; // it has ended
  }
}

export function signalServer(pid: number, signal: NodeJS.Signals): void {
  if (isServer(pid)) process.kill(pid, signal);
}

/** The last words of a server that crashed, one line. */
export function lastWords(logPath: string): string {
  try {
    const lines = readFileSync(logPath, "utf8").trim().split("\n");
    return lines.find((line) => /^\w*Error\b|^FATAL|: /.test(line)) ?? lines.at(-1) ?? "";
  } catch (error) {
    return errorCode(error) === "ENOENT" ? "" : String(error);
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}
