import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, constants, fstatSync, readSync, renameSync } from "node:fs";
import { errorCode, PontoonError } from "../../common/errors.js";
import { createFile, openRegularFile, readRegularFileSync, removeFile, replaceFile } from "../../common/files.js";
import { aboutProcess, fieldsOf } from "../../linux/proc.js";
import { LinuxError } from "../../linux/ffi.js";
import { confineWhatIsStarted } from "../../linux/privileges.js";
import { bindUnix, closeDescriptor, connectUnix, listenSocket, packetSocket } from "../../linux/socket.js";

/** A server as a program. */
export interface ServerProgram {
  /** As the process, logs and messages have it. */
  readonly name: "pontoon-dns" | "pontoon-proxy";
  /** Path of its main module. */
  readonly module: string;
  readonly nodeFlags: readonly string[];
  /** User and group. A number of its own, so that no other program's files or processes are its. */
  readonly user: number;
}

export interface ServerFiles {
  /** Where it listens for daemons: its descriptor 3. */
  readonly socketPath: string;
  /** Where it listens for others: its descriptor 4. */
  readonly publicPath?: string;
  /** Where a crash writes its last words. */
  readonly logPath: string;
  readonly pidPath: string;
}

/** Ends the names of sockets whose server has not taken over yet. The kernel goes on showing them so. */
export const UNPLACED = ".new";

/** Connections that wait until they are accepted. */
const daemonsAtOnce = 8;
const othersAtOnce = 1024;
/** Bytes that are read: of a pid file, of a process's status, and the last of a log, which a server writes what it likes to. */
const pidAtMost = 32;
const logAtMost = 64 * 1024;
/** Letters of last words. */
const wordsAtMost = 500;

/** Connects to a server that runs already. @returns undefined when there is none */
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
 * Starts a server in a session of its own, so that Ctrl-C and the daemon's end do not take it along.
 * Its sockets listen before it runs: a connection waits until the server is ready.
 * The daemon itself can start no program with capabilities from then on. Throws SERVER_START.
 */
export function startServer(
  { name, module, nodeFlags, user }: ServerProgram,
  files: ServerFiles,
  version: string,
): ChildProcess {
  const listeners: number[] = [];
  try {
    listeners.push(listenAt(files.socketPath, daemonsAtOnce));
    if (files.publicPath !== undefined) listeners.push(listenAt(files.publicPath, othersAtOnce));
    const log = createFile(files.logPath);
    try {
      confineWhatIsStarted();
      const child = spawn(process.execPath, [...nodeFlags, module, "--user", String(user), "--version", version], {
        detached: true,
        stdio: ["ignore", "ignore", log, ...listeners],
        argv0: name,
        cwd: "/",
      });
      child.unref();
      replaceFile(files.pidPath, `${child.pid}\n`);
      return child;
    } finally {
      closeSync(log);
    }
  } catch (error) {
    throw new PontoonError("SERVER_START", files.socketPath, `${name} could not be started at ${files.socketPath}`, {
      cause: error,
    });
  } finally {
    listeners.forEach(closeDescriptor);
  }
}

/** Files of a server that starts while another is to be found in the usual place. */
export function unplaced({ socketPath, publicPath, ...others }: ServerFiles): ServerFiles {
  return {
    ...others,
    socketPath: `${socketPath}${UNPLACED}`,
    ...(publicPath !== undefined && { publicPath: `${publicPath}${UNPLACED}` }),
  };
}

/** From now on everybody who looks for a server finds the one that was started with {@link unplaced} files. */
export function moveIntoPlace({ socketPath, publicPath }: ServerFiles): void {
  for (const path of [socketPath, publicPath]) if (path !== undefined) renameSync(`${path}${UNPLACED}`, path);
}

export function removeUnplaced({ socketPath, publicPath }: ServerFiles): void {
  for (const path of [socketPath, publicPath]) if (path !== undefined) removeFile(`${path}${UNPLACED}`);
}

function listenAt(path: string, backlog: number): number {
  const fd = packetSocket();
  try {
    removeFile(path);
    const mask = process.umask(0o177);
    try {
      bindUnix(fd, path);
    } finally {
      process.umask(mask);
    }
    listenSocket(fd, backlog);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** The server that was started last, by whichever daemon. */
export function pidOfServer(program: ServerProgram, pidPath: string): number | undefined {
  try {
    const pid = Number(readRegularFileSync(pidPath, pidAtMost, { followLink: false }).text);
    return isServer(program, pid) ? pid : undefined;
  } catch {
    return undefined; // none has been started yet
  }
}

/**
 * Whether a process runs as this server does. A server that was broken into could name any process as itself; this one
 * has root, and signals none of another user.
 */
export function isServer({ user }: ServerProgram, pid: number): boolean {
  const fields = fieldsOf(aboutProcess(pid, "status") ?? ""); // it may have ended
  return fields.get("Uid")?.split("\t")[0] === String(user) && fields.get("State")?.startsWith("Z") === false;
}

export function signalServer(program: ServerProgram, pid: number, signal: NodeJS.Signals): void {
  if (isServer(program, pid)) process.kill(pid, signal);
}

/** The last words of a server that crashed, one line. */
export function lastWords(logPath: string): string {
  try {
    const lines = endOf(logPath).trim().split("\n");
    const words = lines.find((line) => /^\w*Error\b|^FATAL|: /.test(line)) ?? lines.at(-1) ?? "";
    return words.slice(0, wordsAtMost);
  } catch (error) {
    return errorCode(error) === "ENOENT" ? "" : String(error);
  }
}

function endOf(logPath: string): string {
  const file = openRegularFile(logPath, constants.O_RDONLY, { followLink: false });
  try {
    const buffer = Buffer.alloc(logAtMost);
    return buffer.toString(
      "utf8",
      0,
      readSync(file, buffer, 0, logAtMost, Math.max(0, fstatSync(file).size - logAtMost)),
    );
  } finally {
    closeSync(file);
  }
}
