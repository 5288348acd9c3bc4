import { addressOf, arena, bind, check, lastErrno } from "./ffi.js";
import { AF_INET, AF_INET6 } from "./constants.js";
import { layout } from "./layout.js";

const syscall = bind("long syscall(long, long, long, void *, long)");

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_GET_ACTION_AVAIL = 2;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const RET_ALLOW = 0x7fff0000;
const RET_ERRNO = 0x00050000;
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;
const CLONE_THREAD = 0x10000;

/** Calls that a server which faces the network never needs, by number on x86-64 and arm64 (-1: not there). */
const refused = {
  execve: [59, 221],
  execveat: [322, 281],
  fork: [57, -1],
  vfork: [58, -1],
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  pidfd_getfd: [438, 438],
  kcmp: [312, 272],
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fspick: [433, 433],
  mount_setattr: [442, 442],
  setns: [308, 268],
  unshare: [272, 97],
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  init_module: [175, 105],
  delete_module: [176, 106],
  finit_module: [313, 273],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  reboot: [169, 142],
  swapon: [167, 224],
  swapoff: [168, 225],
  acct: [163, 89],
  quotactl: [179, 60],
  syslog: [103, 116],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  mknod: [133, -1],
  mknodat: [259, 33],
  settimeofday: [164, 170],
  clock_settime: [227, 112],
  adjtimex: [159, 171],
  clock_adjtime: [305, 266],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  personality: [135, 92],
  ioperm: [173, -1],
  iopl: [172, -1],
  modify_ldt: [154, -1],
  bind: [49, 200],
  listen: [50, 201],
} satisfies Record<string, readonly [x64: number, arm64: number]>;
/** A call the filter refuses unless it is told otherwise. */
export type RefusedCall = keyof typeof refused;

const numbers = { clone: [56, 220], clone3: [435, 435], socket: [41, 198] } as const;

/** Offsets in `struct seccomp_data`. */
const DATA = { number: 0, architecture: 4, argument0: 16 } as const;

/** One instruction of classic BPF: operation, jump if true, jump if false, operand. */
type Instruction = readonly [operation: number, ifTrue: number, ifFalse: number, operand: number];
const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const jumpIfEqual = (value: number, ifTrue: number, ifFalse: number): Instruction => [0x15, ifTrue, ifFalse, value];
const jumpIfAtLeast = (value: number, ifTrue: number, ifFalse: number): Instruction => [0x35, ifTrue, ifFalse, value];
const jumpIfBitsSet = (value: number, ifTrue: number, ifFalse: number): Instruction => [0x45, ifTrue, ifFalse, value];
const give = (verdict: number): Instruction => [0x06, 0, 0, verdict];

/** Whether the kernel takes filters that refuse a call with an error; changes nothing. */
export function isFilterAvailable(): boolean {
  const action = arena(4);
  action.writeUInt32LE(RET_ERRNO, 0);
  return syscall(layout.syscalls.seccomp, SECCOMP_GET_ACTION_AVAIL, 0, action, 0) === 0;
}

/** Installs the filter on every thread of the process. Needs no_new_privs; cannot be taken back. */
export function installFilter(allowed: readonly RefusedCall[] = []): void {
  install(buildFilter(layout.architecture, layout.auditArchitecture, allowed), SECCOMP_FILTER_FLAG_TSYNC);
}

/**
 * Refuses io_uring to the calling thread and to all it starts, once and for good. libuv from 1.49 on makes a ring when its
 * loop begins, before a program's first line, and aborts when a later filter refuses its use; without a ring it
 * uses epoll. Needs CAP_SYS_ADMIN.
 */
export function refuseRings(): void {
  if (!areRingsRefused()) install(buildRingFilter(layout.architecture, layout.auditArchitecture), 0);
}

/** Whether this thread could make no ring: a filter refuses it, or the system does. */
export function areRingsRefused(): boolean {
  const column = layout.architecture === "x64" ? 0 : 1;
  // Without room for its parameters the kernel makes none, but says so only to those who may have one.
  syscall(refused.io_uring_setup[column], 1, 0, null, 0);
  const errno = lastErrno();
  return errno === EPERM || errno === ENOSYS;
}

function install(program: readonly Instruction[], flags: number): void {
  const code = arena(program.length * 8);
  program.forEach(([operation, ifTrue, ifFalse, operand], index) => {
    code.writeUInt16LE(operation, index * 8);
    code.writeUInt8(ifTrue, index * 8 + 2);
    code.writeUInt8(ifFalse, index * 8 + 3);
    code.writeUInt32LE(operand >>> 0, index * 8 + 4);
  });
  const descriptor = arena(16);
  descriptor.writeUInt16LE(program.length, 0);
  descriptor.writeBigUInt64LE(BigInt(addressOf(code)), 8);
  const result = syscall(layout.syscalls.seccomp, SECCOMP_SET_MODE_FILTER, flags, descriptor, 0);
  check(result, "seccomp", "filter");
  if (result !== 0) throw new Error(`seccomp: thread ${result} could not take the filter`);
}

/** Allows everything but to make a ring; calls of another architecture are left to the filter that comes later. */
export function buildRingFilter(architecture: "x64" | "arm64", auditArchitecture: number): Instruction[] {
  const number = refused.io_uring_setup[architecture === "x64" ? 0 : 1];
  return [
    load(DATA.architecture),
    jumpIfEqual(auditArchitecture, 0, 2),
    load(DATA.number),
    jumpIfEqual(number, 1, 0),
    give(RET_ALLOW),
    give(RET_ERRNO | EPERM),
  ];
}

/** The filter: everything is allowed but what is listed, new processes, and sockets of other families than IP. */
export function buildFilter(
  architecture: "x64" | "arm64",
  auditArchitecture: number,
  allowed: readonly RefusedCall[] = [],
): Instruction[] {
  const column = architecture === "x64" ? 0 : 1;
  const refuse = give(RET_ERRNO | EPERM);
  const program: Instruction[] = [
    load(DATA.architecture),
    jumpIfEqual(auditArchitecture, 1, 0),
    refuse,
    load(DATA.number),
  ];
  if (architecture === "x64") program.push(jumpIfAtLeast(0x40000000, 0, 1), refuse); // the x32 interface
  for (const [name, entry] of Object.entries(refused)) {
    const number = entry[column];
    if (number >= 0 && !allowed.includes(name as RefusedCall)) program.push(jumpIfEqual(number, 0, 1), refuse);
  }
  // clone3 passes its flags in memory, which a filter cannot read; libc falls back to clone on ENOSYS.
  program.push(jumpIfEqual(numbers.clone3[column], 0, 1), give(RET_ERRNO | ENOSYS));
  program.push(
    jumpIfEqual(numbers.clone[column], 0, 4),
    load(DATA.argument0),
    jumpIfBitsSet(CLONE_THREAD, 0, 1),
    give(RET_ALLOW),
    refuse,
  );
  program.push(
    jumpIfEqual(numbers.socket[column], 0, 5),
    load(DATA.argument0),
    jumpIfEqual(AF_INET, 1, 0),
    jumpIfEqual(AF_INET6, 0, 1),
    give(RET_ALLOW),
    give(RET_ERRNO | EAFNOSUPPORT),
  );
  program.push(give(RET_ALLOW));
  return program;
}
