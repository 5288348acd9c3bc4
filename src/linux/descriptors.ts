import { bind, check, lastErrno } from "./ffi.js";
import { EINVAL, EMFILE } from "./constants.js";
import { closeDescriptor } from "./socket.js";

const fcntl = bind("int fcntl(int, int, int)");
const F_DUPFD_CLOEXEC = 1030;
/** FD_SETSIZE: a library that waits with select(2), as libnftables does, aborts the process when given a higher number. */
const SELECTABLE = 1024;
/** Four descriptors for each of 3,000 containers; 16 bytes each. */
const TABLE_SIZE = 16_384;

/**
 * A second descriptor of the same open file, close-on-exec. Its number is one that select(2) cannot take, so that those
 * which are kept, be they thousands, leave the low numbers to who needs them; unless the process may not have more.
 */
export function duplicateDescriptor(fd: number): number {
  return duplicateBeyond(fd) ?? check(fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl", "F_DUPFD_CLOEXEC");
}

/**
 * Gives the descriptor of something that is kept such a number, unless the process may not have more.
 * @returns the number it has from now on; another one than before is closed
 */
export function moveDescriptor(fd: number): number {
  const moved = duplicateBeyond(fd);
  if (moved === undefined) return fd;
  closeDescriptor(fd);
  return moved;
}

/**
 * Has the kernel make the process's table of descriptors large enough for thousands, once. It doubles the table as need
 * be, and each time waits until every processor has passed by: tens of milliseconds in the middle of other work.
 */
export function makeRoomForDescriptors(): void {
  const farthest = duplicateBeyond(0, TABLE_SIZE - 1);
  if (farthest !== undefined) closeDescriptor(farthest);
}

function duplicateBeyond(fd: number, number = SELECTABLE): number | undefined {
  const copy = fcntl(fd, F_DUPFD_CLOEXEC, number);
  const isBeyondLimit = copy === -1 && [EINVAL, EMFILE].includes(lastErrno());
  return isBeyondLimit ? undefined : check(copy, "fcntl", "F_DUPFD_CLOEXEC");
}
