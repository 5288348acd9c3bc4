import { closeSync, openSync } from "node:fs";
import { arena, bind, check } from "./ffi.js";

// Links whose packets a program takes and gives (tun(4)): Documentation/networking/tuntap.rst of the kernel.

const ioctl = bind("int ioctl(int, unsigned long, void *)");
const setNumber = bind("int ioctl(int, unsigned long, int)");
/** `struct ifreq`: a name of up to 16 bytes, then a union. */
const IFREQ = { size: 40, flags: 16 } as const;
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const IFF_TUN = 0x0001;
/** The kind of such a link, as rtnetlink has it. */
export const tunKind = "tun";
/** Where they are made. */
export const tunFile = "/dev/net/tun";

/**
 * Makes a tun link in the calling thread's network namespace. It stays until it is deleted, with a program that serves it or without:
 * what is sent by it goes nowhere then. Throws a LinuxError: EBUSY where a program has one of that name; an error of node's where there is
 * no /dev/net/tun.
 */
export function makeTun(name: string): void {
  const request = arena(IFREQ.size);
  request.write(`${name}\0`, 0);
  request.writeUInt16LE(IFF_TUN, IFREQ.flags);
  const fd = openSync(tunFile, "r+");
  try {
    check(ioctl(fd, TUNSETIFF, request), "ioctl", `TUNSETIFF ${name}`);
    check(setNumber(fd, TUNSETPERSIST, 1), "ioctl", `TUNSETPERSIST ${name}`);
  } finally {
    closeSync(fd);
  }
}
