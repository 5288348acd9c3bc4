import { closeDescriptor } from "./socket.js";

/**
 * Opens several descriptors, or none: what is open already is closed when the next one fails.
 * @param work opens each through what it is given
 */
export function openingAll<Result>(work: (open: (make: () => number) => number) => Result): Result {
  const opened: number[] = [];
  try {
    return work((make) => {
      const fd = make();
      opened.push(fd);
      return fd;
    });
  } catch (error) {
    opened.forEach(closeDescriptor);
    throw error;
  }
}
