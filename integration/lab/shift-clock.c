// shift-clock FILE PROGRAM [ARGUMENT...]: runs a program whose wall clock is so many seconds off as the file says at that moment.
//
// For programs in Go, which libfaketime does not reach: they ask the kernel's vDSO, and no C library. The program starts
// without one, so that it makes a system call instead, and a filter has this process answer it for CLOCK_REALTIME alone.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *file;

static void fail(const char *what) {
  perror(what);
  exit(125);
}

static long long offset(void) {
  long long seconds = 0;
  FILE *stream = fopen(file, "r");
  if (!stream) return 0;
  if (fscanf(stream, "%lld", &seconds) != 1) seconds = 0;
  fclose(stream);
  return seconds;
}

static void filter(void) {
  struct sock_filter code[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clock_gettime, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail("no_new_privs");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) fail("seccomp");
}

static unsigned long word(pid_t pid, unsigned long at) {
  return (unsigned long)ptrace(PTRACE_PEEKDATA, pid, (void *)at, 0);
}

// Behind the arguments and the environment, which end with a zero each, stands the auxiliary vector.
static void hide_vdso(pid_t pid) {
  struct user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, pid, 0, &registers)) fail("registers");
  unsigned long at = registers.rsp + sizeof at;
  for (int zeros = 0; zeros < 2; at += sizeof at) zeros += word(pid, at) == 0;
  for (; word(pid, at) != AT_NULL; at += 2 * sizeof at)
    if (word(pid, at) == AT_SYSINFO_EHDR) ptrace(PTRACE_POKEDATA, pid, (void *)at, (void *)AT_IGNORE);
}

static void answer(pid_t pid) {
  struct user_regs_struct registers;
  if (ptrace(PTRACE_GETREGS, pid, 0, &registers)) return; // it has just been killed
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  now.tv_sec += offset();
  struct iovec ours = {&now, sizeof now}, theirs = {(void *)registers.rsi, sizeof now};
  long written = process_vm_writev(pid, &ours, 1, &theirs, 1, 0);
  registers.orig_rax = -1; // the call itself is left out
  registers.rax = written == sizeof now ? 0 : -EFAULT;
  ptrace(PTRACE_SETREGS, pid, 0, &registers);
}

int main(int count, char **arguments) {
  if (count < 3) return 125;
  file = arguments[1];
  pid_t program = fork();
  if (program < 0) fail("fork");
  if (program == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) fail("traceme");
    raise(SIGSTOP);
    filter();
    execvp(arguments[2], arguments + 2);
    fail(arguments[2]);
  }
  if (waitpid(program, NULL, 0) != program) fail("wait");
  long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                 PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SETOPTIONS, program, 0, options)) fail("options");
  ptrace(PTRACE_CONT, program, 0, 0);
  for (;;) {
    int status;
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0) return 125;
    if (!WIFSTOPPED(status)) {
      if (pid != program) continue;
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    int event = status >> 16, signal = WSTOPSIG(status);
    if (event == PTRACE_EVENT_EXEC) hide_vdso(pid);
    if (event == PTRACE_EVENT_SECCOMP) answer(pid);
    // A new thread begins with a stop, which is the tracer's.
    ptrace(PTRACE_CONT, pid, 0, (void *)(long)(event != 0 || signal == SIGSTOP || signal == SIGTRAP ? 0 : signal));
  }
}
