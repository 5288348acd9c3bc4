import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { EINTR, ENXIO } from "./constants.js";
import { bind, check } from "./ffi.js";
import { AGAIN, sendAny } from "./stream.js";

const fcntl = bind("int fcntl(int, int, int)");
const F_GETFL = 3;
const F_SETFL = 4;

/**
 * Writes to a descriptor this process was started with, and never waits for whoever is at its other end: a fifo that nobody
 * reads, a terminal that was stopped, the socket of a log service that hangs. O_NONBLOCK belongs to the open file, which
 * others may share (a shell its terminal), so pipes and terminals are opened once more, and to a socket each message is sent
 * without waiting. A regular file or a device such as /dev/null keeps nobody waiting, and the position in a file is shared.
 */
export class UnwaitedOutput {
  readonly #kind: "socket" | "opened anew" | "as it is";
  #own: number | undefined;

  constructor(private readonly fd: number) {
    const stat = fstatSync(fd);
    this.#kind = stat.isSocket() ? "socket" : stat.isFIFO() || isatty(fd) ? "opened anew" : "as it is";
  }

  /** @returns bytes taken, {@link AGAIN}, or another errno, negative: ENOSPC, or EPIPE and ENXIO while nobody has the other end open */
  write(bytes: Buffer): number {
    if (this.#kind === "socket") return sendAny(this.fd, bytes);
    try {
      if (this.#kind === "opened anew") this.#own ??= openAnew(this.fd);
      return writeSync(this.#own ?? this.fd, bytes);
    } catch (error) {
      const errno = errnoOf(error);
      return errno === EINTR ? AGAIN : -errno;
    }
  }

  close(): void {
    if (this.#own !== undefined && this.#own !== this.fd) closeSync(this.#own);
    this.#own = undefined;
  }
}

function openAnew(fd: number): number {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    if (errnoOf(error) === ENXIO) throw error; // nobody reads it, or the terminal is gone
    const flags = check(fcntl(fd, F_GETFL, 0), "fcntl", `descriptor ${fd}`); // it may not be opened: better shared than waited for
    check(fcntl(fd, F_SETFL, flags | constants.O_NONBLOCK), "fcntl", `descriptor ${fd}`);
    return fd;
  }
}

/** The number of an error of Node's file functions. Throws any other error. */
function errnoOf(error: unknown): number {
  if (error instanceof Error && "errno" in error && typeof error.errno === "number") return Math.abs(error.errno);
  throw error;
}
