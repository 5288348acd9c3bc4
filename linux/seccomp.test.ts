import t from "tap";
import { buildFilter } from "./seccomp.js";

type Architecture = "x64" | "arm64";
const audit: Record<Architecture, number> = { x64: 0xc000003e, arm64: 0xc00000b7 };

interface Call {
  number: number;
  argument0?: number;
  architecture?: number;
}

/** Runs a filter over one system call as the kernel does. Throws on anything the kernel would not take. */
function verdict(
  architecture: Architecture,
  { number, argument0 = 0, architecture: seen = audit[architecture] }: Call,
): string {
  const program = buildFilter(architecture, audit[architecture]);
  const data: Record<number, number> = { 0: number, 4: seen, 16: argument0 };
  let accumulator = 0;
  for (let at = 0; at < program.length; at++) {
    const [operation, ifTrue, ifFalse, operand] = program[at]!;
    if (operation === 0x20) {
      const loaded = data[operand];
      if (loaded === undefined) throw new Error(`offset ${operand} of seccomp_data is not looked at`);
      accumulator = loaded;
    } else if (operation === 0x06) return describe(operand);
    else {
      const holds =
        operation === 0x15
          ? accumulator === operand
          : operation === 0x35
            ? accumulator >= operand
            : operation === 0x45
              ? (accumulator & operand) !== 0
              : undefined;
      if (holds === undefined) throw new Error(`operation ${operation}`);
      at += holds ? ifTrue : ifFalse;
    }
  }
  throw new Error("the filter ends without a verdict");
}

function describe(value: number): string {
  if (value === 0x7fff0000) return "allow";
  const errnos: Record<number, string> = { 1: "EPERM", 38: "ENOSYS", 97: "EAFNOSUPPORT" };
  return value >>> 16 === 5 ? (errnos[value & 0xffff] ?? `errno ${value & 0xffff}`) : `0x${value.toString(16)}`;
}

// Numbers as arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux have them.
const calls: [name: string, numbers: Partial<Record<Architecture, number>>, expected: string][] = [
  ["execve", { x64: 59, arm64: 221 }, "EPERM"],
  ["execveat", { x64: 322, arm64: 281 }, "EPERM"],
  ["fork", { x64: 57 }, "EPERM"],
  ["vfork", { x64: 58 }, "EPERM"],
  ["clone3", { x64: 435, arm64: 435 }, "ENOSYS"],
  ["ptrace", { x64: 101, arm64: 117 }, "EPERM"],
  ["process_vm_readv", { x64: 310, arm64: 270 }, "EPERM"],
  ["mount", { x64: 165, arm64: 40 }, "EPERM"],
  ["setns", { x64: 308, arm64: 268 }, "EPERM"],
  ["unshare", { x64: 272, arm64: 97 }, "EPERM"],
  ["bpf", { x64: 321, arm64: 280 }, "EPERM"],
  ["io_uring_setup", { x64: 425, arm64: 425 }, "EPERM"],
  ["keyctl", { x64: 250, arm64: 219 }, "EPERM"],
  ["bind", { x64: 49, arm64: 200 }, "EPERM"],
  ["listen", { x64: 50, arm64: 201 }, "EPERM"],
  ["open_by_handle_at", { x64: 304, arm64: 265 }, "EPERM"],
  ["read", { x64: 0, arm64: 63 }, "allow"],
  ["close", { x64: 3, arm64: 57 }, "allow"],
  ["connect", { x64: 42, arm64: 203 }, "allow"],
  ["sendmmsg", { x64: 307, arm64: 269 }, "allow"],
  ["recvmmsg", { x64: 299, arm64: 243 }, "allow"],
  ["epoll_pwait", { x64: 281, arm64: 22 }, "allow"],
  ["mmap", { x64: 9, arm64: 222 }, "allow"],
  ["mprotect", { x64: 10, arm64: 226 }, "allow"],
  ["madvise", { x64: 28, arm64: 233 }, "allow"],
  ["futex", { x64: 202, arm64: 98 }, "allow"],
  ["accept4", { x64: 288, arm64: 242 }, "allow"],
  ["exit_group", { x64: 231, arm64: 94 }, "allow"],
];

for (const architecture of ["x64", "arm64"] as const) {
  t.test(`on ${architecture} a server may do its work and nothing beside it`, (t) => {
    for (const [name, numbers, expected] of calls) {
      const number = numbers[architecture];
      if (number !== undefined) t.equal(verdict(architecture, { number }), expected, name);
    }
    t.end();
  });

  t.test(`on ${architecture} new threads are allowed, new processes are not`, (t) => {
    const number = architecture === "x64" ? 56 : 220;
    t.equal(verdict(architecture, { number, argument0: 0x3d0f00 }), "allow", "what pthread_create asks for");
    t.equal(verdict(architecture, { number, argument0: 0x1200011 }), "EPERM", "what fork asks for");
    t.end();
  });

  t.test(`on ${architecture} sockets are of the internet`, (t) => {
    const number = architecture === "x64" ? 41 : 198;
    const families: [name: string, family: number, expected: string][] = [
      ["AF_INET", 2, "allow"],
      ["AF_INET6", 10, "allow"],
      ["AF_UNIX", 1, "EAFNOSUPPORT"],
      ["AF_NETLINK", 16, "EAFNOSUPPORT"],
      ["AF_PACKET", 17, "EAFNOSUPPORT"],
    ];
    for (const [name, family, expected] of families)
      t.equal(verdict(architecture, { number, argument0: family }), expected, name);
    t.end();
  });

  t.test(`on ${architecture} calls of another interface are refused`, (t) => {
    const other = architecture === "x64" ? 0x40000003 : audit.x64;
    t.equal(verdict(architecture, { number: 0, architecture: other }), "EPERM");
    if (architecture === "x64") t.equal(verdict(architecture, { number: 0x40000000 }), "EPERM", "x32");
    t.end();
  });

  t.test(`on ${architecture} the filter is one the kernel takes`, (t) => {
    const program = buildFilter(architecture, audit[architecture]);
    t.ok(program.length <= 4096);
    t.ok(
      program.every(
        ([, ifTrue, ifFalse], at) => at + 1 + Math.max(ifTrue, ifFalse) < program.length || program[at]![0] === 0x06,
      ),
      "no jump leads out of it",
    );
    t.end();
  });
}
