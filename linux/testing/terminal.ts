import { constants, openSync } from "node:fs";
import { arena, bind, check } from "../ffi.js";

const ioctl = bind("int ioctl(int, unsigned long, void *)");
const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;

/** A terminal for a test, and its other end, where a terminal emulator would be. */
export function openTerminal(): { readonly master: number; readonly terminal: number } {
  const master = openSync("/dev/ptmx", constants.O_RDWR | constants.O_NOCTTY);
  const number = arena(4);
  check(ioctl(master, TIOCSPTLCK, number), "ioctl", "TIOCSPTLCK");
  check(ioctl(master, TIOCGPTN, number), "ioctl", "TIOCGPTN");
  return { master, terminal: openSync(`/dev/pts/${number.readUInt32LE()}`, constants.O_RDWR | constants.O_NOCTTY) };
}
