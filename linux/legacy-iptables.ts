import { closeSync, openSync, read } from "node:fs";
import { promisify } from "node:util";
import { errorCode } from "../common/errors.js";
import { EAGAIN, IPPROTO_IP } from "./constants.js";
import { arena, bindAside, LinuxError } from "./ffi.js";

// Tables of iptables' legacy variant (include/uapi/linux/netfilter_ipv4/ip_tables.h). Asking for one waits while anybody on the
// host changes or reads any: so all this is done beside the event loop.

const readAside = promisify(read);
const getsockopt = bindAside("int getsockopt(int, int, int, void *, void *)");
const GET_INFO = 64;
const GET_ENTRIES = 65;
const nameSize = 32;
/** `struct ipt_getinfo`: the name, valid hooks, five entry points, five underflows, number and size of the entries. */
const INFO = { hookEntries: 36, count: 76, size: 80, length: 84 } as const;
/** `struct ipt_get_entries`: the name and the size, then the entries. */
const ENTRIES = { size: 32, entries: 40 } as const;
const tries = 4;

/** A table as the kernel has it. */
export interface LegacyTable {
  readonly entries: Buffer;
  /** Where the chain of each hook begins in `entries`, by the hook's number. */
  readonly hookEntries: readonly number[];
}

/** By which one state of a table is roughly told from another. */
export interface LegacyTableInfo {
  readonly count: number;
  /** Bytes. */
  readonly size: number;
  readonly hookEntries: readonly number[];
}

/** Which tables a process's network namespace has. Keeps the namespace alive until it is closed. */
export class LegacyTables {
  /** Undefined where the kernel has no such tables, or there is no such process; and when it is closed. */
  #fd: number | undefined;
  readonly #names = Buffer.alloc(1024);

  /** @param netPath e.g. `/proc/4711/net` */
  constructor(netPath: string) {
    try {
      this.#fd = openSync(`${netPath}/ip_tables_names`, "r");
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
    }
  }

  /** Asking for a table that is not there would make it, so this is asked first. One question at a time. */
  async has(table: string): Promise<boolean> {
    if (this.#fd === undefined) return false;
    const { bytesRead } = await readAside(this.#fd, this.#names, 0, this.#names.length, 0);
    return this.#names.toString("latin1", 0, bytesRead).split("\n").includes(table);
  }

  /** Can be called twice. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** @param fd an IPv4 socket of the namespace */
export async function legacyTableInfo(fd: number, table: string): Promise<LegacyTableInfo> {
  const info = arena(INFO.length);
  info.write(table, 0, nameSize - 1, "latin1");
  await option(fd, GET_INFO, info, table);
  return {
    count: info.readUInt32LE(INFO.count),
    size: info.readUInt32LE(INFO.size),
    hookEntries: [0, 1, 2, 3, 4].map((hook) => info.readUInt32LE(INFO.hookEntries + 4 * hook)),
  };
}

/**
 * @param fd an IPv4 socket of the namespace
 * @param sizeAtMost bytes
 * @returns undefined when it is larger. Rejects with EAGAIN when it changes each time it is read.
 */
export async function readLegacyTable(fd: number, table: string, sizeAtMost: number): Promise<LegacyTable | undefined> {
  for (let tried = 1; ; tried++) {
    const { size, hookEntries } = await legacyTableInfo(fd, table);
    if (size > sizeAtMost) return undefined;
    const answer = arena(ENTRIES.entries + size);
    answer.write(table, 0, nameSize - 1, "latin1");
    answer.writeUInt32LE(size, ENTRIES.size);
    try {
      await option(fd, GET_ENTRIES, answer, table);
      return { entries: answer.subarray(ENTRIES.entries), hookEntries };
    } catch (error) {
      if (tried === tries) throw error;
    }
  }
}

async function option(fd: number, name: number, value: Buffer, table: string): Promise<void> {
  const length = arena(4);
  length.writeUInt32LE(value.length);
  const result = await getsockopt(fd, IPPROTO_IP, name, value, length);
  // Used again here, so that neither piece of memory is freed while the kernel writes into it. The number of an error stays
  // in the thread that made the call; the table has changed meanwhile, or is gone.
  if (result < 0 || length.readUInt32LE() > value.length) throw new LinuxError(EAGAIN, "getsockopt", `table ${table}`);
}
