// Struct layouts and system call numbers of the two architectures, checked at start by selftest.ts.

export interface Layout {
  readonly architecture: "x64" | "arm64";
  /** `struct epoll_event`: packed on x86-64 only. */
  readonly epollEvent: { readonly size: number; readonly data: number };
  readonly syscalls: { readonly seccomp: number; readonly pidfdOpen: number; readonly pidfdSendSignal: number };
  /** `AUDIT_ARCH_*` as seccomp filters see it. */
  readonly auditArchitecture: number;
}

const layouts: Record<string, Layout> = {
  x64: {
    architecture: "x64",
    epollEvent: { size: 12, data: 4 },
    syscalls: { seccomp: 317, pidfdOpen: 434, pidfdSendSignal: 424 },
    auditArchitecture: 0xc000003e,
  },
  arm64: {
    architecture: "arm64",
    epollEvent: { size: 16, data: 8 },
    syscalls: { seccomp: 277, pidfdOpen: 434, pidfdSendSignal: 424 },
    auditArchitecture: 0xc00000b7,
  },
};

/** The layout of this machine; throws on an architecture for which it is not known. */
export const layout: Layout = layoutOf(process.arch);

/** Fields of `struct msghdr`, the same for glibc and musl on little-endian 64-bit machines. */
export const MSGHDR = {
  size: 56,
  name: 0,
  nameLength: 8,
  iov: 16,
  iovLength: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
} as const;
/** `struct mmsghdr`: a msghdr, then the length of what was received or sent. */
export const MMSGHDR = { size: 64, length: 56 } as const;
export const IOVEC = { size: 16, base: 0, length: 8 } as const;
export const CMSGHDR = { size: 16, length: 0, level: 8, type: 12 } as const;
/** Bytes reserved for one socket address; `sockaddr_in6` needs 28. */
export const SOCKADDR_SIZE = 32;

function layoutOf(architecture: string): Layout {
  const found = layouts[architecture];
  if (!found)
    throw new Error(`pontoon knows the kernel's struct layouts for x64 and arm64 only, not for ${architecture}`);
  return found;
}
