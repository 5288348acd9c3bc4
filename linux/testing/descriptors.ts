import { readdirSync } from "node:fs";
import { duplicateDescriptor } from "../descriptors.js";
import { arena, bind, check } from "../ffi.js";
import { closeDescriptor } from "../socket.js";

const getrlimit = bind("int getrlimit(int, void *)");
const setrlimit = bind("int setrlimit(int, void *)");
const RLIMIT_NOFILE = 7;

/** Leaves this process no descriptor. Starts no program, which needs some. @returns gives them back */
export function takeDescriptors(): () => void {
  const before = arena(16); // struct rlimit: soft, hard
  check(getrlimit(RLIMIT_NOFILE, before), "getrlimit");
  const limit = arena(16);
  before.copy(limit);
  limit.writeBigUInt64LE(BigInt(Math.max(...readdirSync("/proc/self/fd").map(Number)) + 1), 0);
  check(setrlimit(RLIMIT_NOFILE, limit), "setrlimit");
  const taken: number[] = [];
  try {
    for (;;) taken.push(duplicateDescriptor(0));
  } catch {
    // none is left
  }
  return () => {
    taken.forEach(closeDescriptor);
    check(setrlimit(RLIMIT_NOFILE, before), "setrlimit");
  };
}
