import { arena, bind, lastErrno, LinuxError } from "./ffi.js";
import { EMFILE, ENFILE, O_CLOEXEC, O_NONBLOCK } from "./constants.js";
import { closeDescriptor } from "./socket.js";

const c = {
  pipe2: bind("int pipe2(void *, int)"),
  fcntl: bind("int fcntl(int, int, int)"),
};
const F_SETPIPE_SZ = 1031;
const ends = arena(8);

/** A pipe to splice through, non-blocking and close-on-exec. */
export interface Pipe {
  readonly read: number;
  readonly write: number;
  /** Bytes it holds at most, if they come in whole pages. */
  readonly size: number;
}

/**
 * @param size bytes wanted; a power of two, at least a page
 * @returns undefined when descriptors or the memory an ordinary user may have in pipes are used up
 */
export function openPipe(size: number): Pipe | undefined {
  if (c.pipe2(ends, O_CLOEXEC | O_NONBLOCK) !== 0) {
    const errno = lastErrno();
    if (errno === EMFILE || errno === ENFILE) return undefined;
    throw new LinuxError(errno, "pipe2", "");
  }
  const pipe = { read: ends.readInt32LE(0), write: ends.readInt32LE(4) };
  const granted = c.fcntl(pipe.write, F_SETPIPE_SZ, size);
  if (granted >= size) return { ...pipe, size: granted };
  // EPERM: the user's share (fs.pipe-user-pages-soft) is used up, and the pipe has a page or two.
  closePipe({ ...pipe, size: 0 });
  return undefined;
}

export function closePipe(pipe: Pipe): void {
  closeDescriptor(pipe.read);
  closeDescriptor(pipe.write);
}
