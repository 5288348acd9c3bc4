import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync, unlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errorCode, PontoonError } from "../errors.js";
import { LinuxError } from "../linux/ffi.js";
import { bindUnix, closeDescriptor, connectUnix, listenSocket, packetSocket } from "../linux/socket.js";

const program = fileURLToPath(new URL("../../dns/main.js", import.meta.url));
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

/**
 * Starts a pontoon-dns in a session of its own, so that Ctrl-C and the daemon's end do not take it along.
 * Its control socket listens before it runs: a connection waits until the server is ready.
 * @param logPath where a crash writes its last words
 */
export function startServer(socketPath: string, logPath: string, version: string): ChildProcess {
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
      const child = spawn(process.execPath, [program, "--user", String(DNS_USER), "--version", version], {
        detached: true,
        stdio: ["ignore", "ignore", log, listener],
        argv0: "pontoon-dns",
        cwd: "/",
      });
      child.unref();
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
