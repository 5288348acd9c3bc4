import koffi from "koffi";
import { bind, check } from "./ffi.js";

const execv = koffi.load(null).func("int execv(const char *, const char **)") as unknown as (
  path: string,
  argv: (string | null)[],
) => number;
const fcntl = bind("int fcntl(int, int, int)");
const F_SETFD = 2;

/**
 * Becomes another program, with this process's environment. Returns only if that cannot be executed.
 * @param inherited descriptors it gets besides 0 to 2: Node marks all it was started with close-on-exec
 */
export function executeProgram(path: string, args: readonly string[], inherited: readonly number[]): void {
  for (const fd of [0, 1, 2, ...inherited]) check(fcntl(fd, F_SETFD, 0), "fcntl", `descriptor ${fd}`);
  execv(path, [path, ...args, null]);
}
