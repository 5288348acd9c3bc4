import { fstatSync, readdirSync, statSync } from "node:fs";
import { bind, check, lastErrno } from "./ffi.js";
import { EINVAL, EMFILE } from "./constants.js";
import { closeDescriptor } from "./socket.js";

const fcntl = bind("int fcntl(int, int, int)");
const F_DUPFD_CLOEXEC = 1030;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
/** Four descriptors for each of 3,000 containers; 16 bytes each. */
const TABLE_SIZE = 16_384;

/** A second descriptor of the same open file, close-on-exec. */
export function duplicateDescriptor(fd: number): number {
  return check(fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl", "F_DUPFD_CLOEXEC");
}

/** Keeps every descriptor this process has of a file from programs it starts: libraries may open theirs otherwise. Throws ENOENT. */
export function keepFromOthers(path: string): void {
  const { dev, ino } = statSync(path);
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (isOf(fd, dev, ino)) keepFromPrograms(fd);
  }
}

/** Keeps a descriptor from programs this process starts. Throws EBADF when it is not open. */
export function keepFromPrograms(fd: number): void {
  check(fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl", `descriptor ${fd}`);
}

function isOf(fd: number, dev: number, ino: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.dev === dev && stat.ino === ino;
  } catch {
    return false; // the descriptor through which the folder was read
  }
}

/**
 * Has the kernel make the process's table of descriptors large enough for thousands, once. It doubles the table as needed,
 * and each time waits until every processor has passed by: tens of milliseconds in the middle of other work.
 * Does nothing in a process whose limit is lower.
 */
export function makeRoomForDescriptors(): void {
  const farthest = fcntl(0, F_DUPFD_CLOEXEC, TABLE_SIZE - 1);
  if (farthest === -1 && [EINVAL, EMFILE].includes(lastErrno())) return;
  closeDescriptor(check(farthest, "fcntl", "F_DUPFD_CLOEXEC"));
}
