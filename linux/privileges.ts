import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { fieldsOf } from "./proc.js";
import { arena, bind, check, lastErrno } from "./ffi.js";
import { errorCode } from "../common/errors.js";
import { installFilter, refuseRings, type RefusedCall } from "./seccomp.js";

const c = {
  prctl: bind("int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)"),
  capset: bind("int capset(void *, void *)"),
  capget: bind("int capget(void *, void *)"),
  setgroups: bind("int setgroups(size_t, void *)"),
  setgid: bind("int setgid(unsigned int)"),
  setuid: bind("int setuid(unsigned int)"),
  setrlimit: bind("int setrlimit(int, void *)"),
  getrlimit: bind("int getrlimit(int, void *)"),
};

const PR_CAPBSET_READ = 23;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
const CAPABILITY_VERSION_3 = 0x20080522;
const RLIMIT_FSIZE = 1;
const RLIMIT_NOFILE = 7;
/** Bytes of the longest file a server may make: its log, which is in memory, is the only one it has to write to. */
const fileSizeAtMost = 1024 * 1024;
const EPERM = 1;
const CAP_DAC_READ_SEARCH = 2;
const CAP_SETGID = 6;
const CAP_SETUID = 7;

/**
 * What keeps this process from becoming an ordinary one for good, since it was not started by a thread that had called
 * {@link confineWhatIsStarted}. Undefined when nothing keeps it.
 */
export function confinementProblem(): string | undefined {
  if (hasBoundingSet()) return "could gain capabilities";
  return hasRing() ? "has an io_uring, which acts with the privileges it was made with" : undefined;
}

/** What the calling thread starts from now on can gain no capability and make no io_uring; for good. Needs CAP_SETPCAP and CAP_SYS_ADMIN. */
export function confineWhatIsStarted(): void {
  refuseRings();
  emptyBoundingSet();
}

function hasBoundingSet(): boolean {
  return capabilities().some((capability) => c.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) === 1);
}

function hasRing(): boolean {
  return readdirSync("/proc/self/fd").some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[io_uring]";
    } catch {
      return false; // the descriptor through which the folder was read
    }
  });
}

/**
 * Empties the capability bounding set of the calling thread, for good: nothing it starts from now on can gain a
 * capability. What it has itself stays. The set belongs to a thread, and a Node program has about ten by the time its
 * first line runs, so a program cannot do this for itself; it inherits it, on all threads, from the thread that starts it.
 * Kept as inheritable, until {@link dropPrivileges}: changing the user, and reading modules below a home of mode 0700.
 */
function emptyBoundingSet(): void {
  setInheritable([CAP_DAC_READ_SEARCH, CAP_SETGID, CAP_SETUID]);
  for (const capability of capabilities())
    check(c.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl", "PR_CAPBSET_DROP");
}

/**
 * Becomes an ordinary user for good, on every thread: libc tells all threads of a change of user, seccomp's TSYNC does
 * the same for the filter and for no_new_privs. Node's own calls would do, but some versions refuse to when a libuv they
 * were not built with might have a ring. Every module must have been loaded before.
 * From then on no file can be made longer than 1 MiB: Node ignores SIGXFSZ, so that writing fails (EFBIG) and ends nothing.
 * Throws when a thread has kept anything: the process must end then.
 * @param allowed calls the filter lets pass that it refuses otherwise
 */
export function dropPrivileges(user: number, allowed: readonly RefusedCall[] = []): void {
  check(c.setrlimit(RLIMIT_FSIZE, limitOf(fileSizeAtMost)), "setrlimit", "FSIZE");
  check(c.setgroups(0, null), "setgroups");
  check(c.setgid(user), "setgid", String(user));
  check(c.setuid(user), "setuid", String(user));
  check(c.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
  installFilter(allowed);
  for (const thread of readdirSync("/proc/self/task")) {
    const kept = privilegeIn(readFileSync(`/proc/self/task/${thread}/status`, "utf8"), user);
    if (kept !== undefined) throw new Error(`thread ${thread} has kept a privilege (${kept})`);
  }
}

/** @param status as proc_pid_status(5) has it. @returns the line that shows more than an ordinary, filtered user */
export function privilegeIn(status: string, user: number): string | undefined {
  const ids = Array<number>(4).fill(user).join("\t");
  const wanted: Record<string, RegExp> = {
    Uid: new RegExp(`^${ids}$`),
    Gid: new RegExp(`^${ids}$`),
    Groups: /^\s*$/,
    CapPrm: /^0+$/,
    CapEff: /^0+$/,
    CapAmb: /^0+$/,
    NoNewPrivs: /^1$/,
    Seccomp: /^2$/,
  };
  const fields = fieldsOf(status);
  const kept = Object.keys(wanted).find((name) => !wanted[name]!.test(fields.get(name) ?? "-"));
  return kept === undefined ? undefined : `${kept}: ${fields.get(kept) ?? "not told"}`;
}

/**
 * Puts the calling thread, and what it starts from now on, ahead of ordinary programs.
 * @param niceness as setpriority(2) has it; a process that is further ahead already, or may not go there, stays where it is
 */
export function goAhead(niceness: number): void {
  try {
    if (getPriority() > niceness) setPriority(niceness);
  } catch (error) {
    // Node gives errors of `os` a code of their own, and the kernel's in `info`.
    const code = errorCode((error as { info?: unknown }).info) ?? errorCode(error);
    if (code !== "EACCES" && code !== "EPERM") throw error; // a container without CAP_SYS_NICE
  }
}

/**
 * Raises the limit of open descriptors as far as the system allows (`fs.nr_open`). Without CAP_SYS_RESOURCE, as in
 * some virtual machines, the hard limit it was started with stays; Node has raised the soft one to that already.
 */
export function raiseDescriptorLimit(): void {
  const wanted = Number(readFileSync("/proc/sys/fs/nr_open", "utf8"));
  if (c.setrlimit(RLIMIT_NOFILE, limitOf(wanted)) !== 0 && lastErrno() !== EPERM)
    check(-1, "setrlimit", `NOFILE ${wanted}`);
}

/** How many descriptors this process may have open. */
export function descriptorLimit(): number {
  const limit = arena(16);
  check(c.getrlimit(RLIMIT_NOFILE, limit), "getrlimit", "NOFILE");
  return Number(limit.readBigUInt64LE(0));
}

/** A `struct rlimit`, soft and hard alike. */
function limitOf(value: number): Buffer {
  const limit = arena(16);
  limit.writeBigUInt64LE(BigInt(value), 0);
  limit.writeBigUInt64LE(BigInt(value), 8);
  return limit;
}

function capabilities(): number[] {
  const known: number[] = [];
  for (let capability = 0; capability < 64; capability++) {
    if (c.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) === -1) break;
    known.push(capability);
  }
  if (known.length === 0) throw new Error(`the kernel does not tell its capabilities (errno ${lastErrno()})`);
  return known;
}

/** Sets the inheritable set of the calling thread; effective and permitted stay. */
function setInheritable(wanted: number[]): void {
  const header = arena(8);
  header.writeUInt32LE(CAPABILITY_VERSION_3, 0);
  const sets = arena(24); // effective, permitted, inheritable: low words, then high words
  check(c.capget(header, sets), "capget");
  const low = wanted.reduce((mask, capability) => mask | (1 << capability), 0);
  sets.writeUInt32LE(low >>> 0, 8);
  sets.writeUInt32LE(0, 20);
  header.writeUInt32LE(CAPABILITY_VERSION_3, 0);
  check(c.capset(header, sets), "capset");
}
