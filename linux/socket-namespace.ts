import { closeSync, fstatSync } from "node:fs";
import { bind, check } from "./ffi.js";

const ioctl = bind("int ioctl(int, unsigned long, void *)");
/** linux/sockios.h: a descriptor of the network namespace a socket lives in. */
const SIOCGSKNS = 0x894c;

/** Inode of the network namespace a socket lives in. Throws a LinuxError, also for what is not a socket. Needs CAP_NET_ADMIN there. */
export function namespaceOfSocket(fd: number): number {
  const namespace = check(ioctl(fd, SIOCGSKNS, null), "ioctl", "SIOCGSKNS");
  try {
    return fstatSync(namespace).ino;
  } finally {
    closeSync(namespace);
  }
}
