import { readFileSync } from "node:fs";
import { fieldsOf } from "./proc.js";
import { bind, check } from "./ffi.js";
import { layout } from "./layout.js";

const syscall = bind("long syscall(long, long, long, long, long)");

/** A descriptor that becomes readable when the process ends. Throws ESRCH when there is no such process. Close-on-exec. */
export function openPidfd(pid: number): number {
  return check(syscall(layout.syscalls.pidfdOpen, pid, 0, 0, 0), "pidfd_open", `process ${pid}`);
}

/** Sends a signal to exactly the process the descriptor stands for. */
export function signalPidfd(pidfd: number, signal: number): void {
  check(syscall(layout.syscalls.pidfdSendSignal, pidfd, signal, 0, 0), "pidfd_send_signal", "");
}

/** The process a pidfd stands for, as this process sees it; -1 once it has ended. */
export function pidOfPidfd(pidfd: number): number {
  return Number(fieldsOf(readFileSync(`/proc/self/fdinfo/${pidfd}`, "utf8")).get("Pid") ?? -1);
}
