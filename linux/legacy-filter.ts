import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { errorCode } from "../common/errors.js";
import type { Family } from "../common/address.js";
import { AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_RAW } from "./constants.js";
import { arena, bind, check, LinuxError, lastErrno } from "./ffi.js";
import { closeDescriptor } from "./socket.js";

// The filter tables of iptables' legacy variant, of the calling thread's network namespace. Nobody tells when they change, so
// that somebody has to look. Waits while anybody on the host changes such tables: not for the daemon's own thread.

const c = {
  socket: bind("int socket(int, int, int)"),
  getsockopt: bind("int getsockopt(int, int, int, void *, void *)"),
};
const GET_INFO = 64;
const GET_ENTRIES = 65;
/** `struct ipt_getinfo` and `ipt_get_entries`, as in legacy-iptables.ts; those of IPv6 are alike. */
const INFO = { size: 80, length: 84 } as const;
const ENTRIES = { size: 32, entries: 40 } as const;
const table = "filter";
/** Bytes; who has more rules is looked at only when something else is the matter. */
const sizeAtMost = 16 << 20;
const variants = {
  ipv4: { names: "ip_tables_names", domain: AF_INET, level: 0, protocol: 255, next: 90, counters: 96, header: 112 },
  ipv6: {
    names: "ip6_tables_names",
    domain: AF_INET6,
    level: 41,
    protocol: 255,
    next: 142,
    counters: 152,
    header: 168,
  },
} as const;

/** Asking for a table that is not there would make it. */
export function hasLegacyFilter(family: Family): boolean {
  try {
    return readFileSync(`/proc/thread-self/net/${variants[family].names}`, "latin1").split("\n").includes(table);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** By which one state of the table's rules is told from another; undefined where there is none, or it is too large or just changing. */
export function legacyFilterState(family: Family): string | undefined {
  if (!hasLegacyFilter(family)) return undefined;
  const { domain, protocol, level } = variants[family];
  const fd = check(c.socket(domain, SOCK_RAW | SOCK_CLOEXEC, protocol), "socket", "raw");
  try {
    const info = arena(INFO.length);
    info.write(table, "latin1");
    option(fd, level, GET_INFO, info);
    const size = info.readUInt32LE(INFO.size);
    if (size > sizeAtMost) return undefined;
    const answer = arena(ENTRIES.entries + size);
    answer.write(table, "latin1");
    answer.writeUInt32LE(size, ENTRIES.size);
    option(fd, level, GET_ENTRIES, answer);
    return digestOf(answer.subarray(ENTRIES.entries), family);
  } catch (error) {
    if (error instanceof LinuxError) return undefined;
    throw error;
  } finally {
    closeDescriptor(fd);
  }
}

function option(fd: number, level: number, name: number, value: Buffer): void {
  const length = arena(4);
  length.writeUInt32LE(value.length);
  if (c.getsockopt(fd, level, name, value, length) < 0)
    throw new LinuxError(lastErrno(), "getsockopt", `table ${table}`);
}

/** Without the counters, which change with each packet. */
function digestOf(entries: Buffer, family: Family): string {
  const { next, counters, header } = variants[family];
  const hash = createHash("sha256");
  for (let at = 0; at + header <= entries.length;) {
    const length = entries.readUInt16LE(at + next);
    if (length < header || at + length > entries.length) break;
    hash.update(entries.subarray(at, at + counters));
    hash.update(entries.subarray(at + header, at + length));
    at += length;
  }
  return hash.digest("hex");
}
