import { errorCode } from "../common/errors.js";
import { AF_UNIX } from "./constants.js";
import { keepFromPrograms } from "./descriptors.js";
import { arena, bind, check } from "./ffi.js";
import { socketKind } from "./socket-kind.js";

const getsockname = bind("int getsockname(int, void *, void *)");
/** The first descriptor that is handed over, SD_LISTEN_FDS_START. */
const first = 3;
/** More than any service has; the number comes from outside. */
const descriptorsAtMost = 256;
/** `struct sockaddr_un`, and a zero byte, which a path of full length has not. */
const addressSize = 111;

/**
 * The listening unix stream socket bound to `path` that the service manager made for this process (sd_listen_fds(3)), or
 * undefined without one. Whatever was handed over is close-on-exec from then on, and systemd's variables are gone from the
 * environment: what is started from here has neither. So it tells once; the caller owns the descriptor.
 * @param path as it is bound: links are not followed
 */
export function inheritedListener(path: string, environment: NodeJS.ProcessEnv = process.env): number | undefined {
  const descriptors = handedOver(environment);
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"]) delete environment[name];
  return descriptors.filter(isKept).find((fd) => isListenerAt(fd, path));
}

/** Variables that another process was meant by, and left to this one, count for nothing. */
function handedOver({ LISTEN_PID: pid, LISTEN_FDS: count = "" }: NodeJS.ProcessEnv): number[] {
  if (pid !== String(process.pid) || !/^\d{1,9}$/.test(count)) return [];
  return Array.from({ length: Math.min(Number(count), descriptorsAtMost) }, (_, index) => first + index);
}

/** @returns false for a descriptor that is not open */
function isKept(fd: number): boolean {
  try {
    keepFromPrograms(fd);
    return true;
  } catch (error) {
    if (errorCode(error) === "EBADF") return false;
    throw error;
  }
}

function isListenerAt(fd: number, path: string): boolean {
  try {
    const { type, listening } = socketKind(fd);
    return type === "stream" && listening && pathOf(fd) === path;
  } catch (error) {
    if (errorCode(error) === "ENOTSOCK") return false;
    throw error;
  }
}

const address = arena(addressSize);
const length = arena(4);

/** Where a unix socket is bound; undefined for any other socket. */
function pathOf(fd: number): string | undefined {
  address.fill(0);
  length.writeUInt32LE(addressSize);
  check(getsockname(fd, address, length), "getsockname", `descriptor ${fd}`);
  if (address.readUInt16LE(0) !== AF_UNIX) return undefined;
  return address.toString("utf8", 2, address.indexOf(0, 2));
}
