import koffi from "koffi";
import { getSystemErrorName } from "node:util";

/** A C function bound by {@link bind}: pointers take a Buffer or an address, results are numbers. */
export type CFunction = (...args: (number | bigint | string | Buffer | null)[]) => number;

/** A failed system call: `code` is the errno's name, e.g. `EADDRINUSE`. */
export class LinuxError extends Error {
  override readonly name = "LinuxError";
  readonly code: string;

  /** @param subject what the call was about: a path, an address, a namespace */
  constructor(
    readonly errno: number,
    readonly syscall: string,
    readonly subject: string,
  ) {
    const code = errnoName(errno);
    super(`${syscall}${subject === "" ? "" : ` ${subject}`}: ${code}`);
    this.code = code;
  }
}

// The process itself: node exports libuv, and libc, whether glibc or musl, is already loaded.
const self = koffi.load(null);

/** Binds a C function from its prototype, e.g. `int bind(int, void *, int)`. */
export function bind(prototype: string): CFunction {
  return self.func(prototype);
}

/**
 * Binds a C function that may wait: it runs in a thread of libuv's pool. Memory that is passed to it must not change meanwhile.
 * The promise never rejects; errno stays in that thread.
 */
export function bindAside(
  prototype: string,
): (...args: (number | bigint | string | Buffer | null)[]) => Promise<number> {
  const bound = self.func(prototype);
  return (...args) =>
    new Promise((resolve, reject) => {
      bound.async(...args, (error: Error | null, result: number | bigint) =>
        error ? reject(error) : resolve(Number(result)),
      );
    });
}

/** errno of the last call made from JavaScript; valid until the next call. */
export function lastErrno(): number {
  return koffi.errno();
}

/** Returns the result of a system call, or throws when it is -1. */
export function check(result: number, syscall: string, subject = ""): number {
  if (result === -1) throw new LinuxError(koffi.errno(), syscall, subject);
  return result;
}

/** Address of a buffer's first byte, for structs that point to one another. The buffer must live as long as the struct. */
export function addressOf(buffer: Buffer): number {
  // koffi gives the address of the whole ArrayBuffer: pooled buffers start somewhere inside it.
  return Number(koffi.address(buffer.buffer)) + buffer.byteOffset;
}

/**
 * Memory of its own, never shared with Node's buffer pool, so that the kernel may be given its address.
 * @param size bytes; zeroed
 */
export function arena(size: number): Buffer {
  return Buffer.from(new ArrayBuffer(size));
}

/** Numbers libuv has no name for. */
const furtherNames: Record<number, string> = { 85: "ERESTART" };

export function errnoName(errno: number): string {
  const name = furtherNames[errno] ?? getSystemErrorName(-errno);
  return name.startsWith("Unknown") ? `E${errno}` : name;
}
