// What dockerd starts as its docker-proxy, once for each published port. It binds the port, hands the socket to
// pontoon-proxy, keeps its own copy, and sleeps: pontoon-proxy may die and return while connections wait in the kernel.
// Whenever pontoon-proxy cannot be reached or declines, this process becomes Docker's own docker-proxy instead.
#include "docker-proxy.h"
#include "flags.h"
#include "listener.h"
#include "packet.h"
#include "text.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef PONTOON_SHIM_PROTOCOL
#error "tools/build-shim.mjs says which protocol this is, from proxy/shims/shim-protocol.ts"
#endif
#ifndef PONTOON_VERSION
#define PONTOON_VERSION "unknown"
#endif

enum { verdict_descriptor = 3, listen_descriptor = 4 };
/** Milliseconds. */
enum { who_time = 1000, patience_default = 200, return_default = 10000, hand_over_time = 2000, farewell_time = 2000 };
enum { retry_soon = 50, retry_late = 500, retry_start = 10, never = -1 };

static const char socket_name[] = "proxy.sock";

enum state {
  APART,   // no connection; the next attempt is made at the deadline
  ASKING,  // may the port be served? Only before it is bound
  HANDING, // the socket is on its way
  SERVED,
};

static struct {
  char **argv;
  sigset_t mask, handled; // as dockerd left it; what is read from `signals`, or ignored
  struct publication wanted;
  bool inherited, started;
  int signals, listener, connection, retry, return_time;
  pid_t parent;
  enum state state;
  /** `give_up_at`: from then on Docker's own docker-proxy serves; `never` once that was tried in vain. */
  long long deadline, give_up_at;
  char socket_path[108];
} shim = {.listener = -1, .connection = -1, .retry = retry_soon};

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/** The one write dockerd reads, to its end. Without dockerd, descriptor 3 is /dev/null and a person reads stderr. */
__attribute__((noreturn)) static void fail(struct text *problem) {
  struct text verdict = {0};
  add(&verdict, "1\n");
  add_bytes(&verdict, problem->bytes, problem->used);
  add(problem, "\n");
  // Nobody may be reading; the exit code says it too.
  if (write(verdict_descriptor, verdict.bytes, verdict.used) < 0 || write(2, problem->bytes, problem->used) < 0) _exit(1);
  _exit(1);
}

static void succeed(void) {
  shim.state = SERVED;
  shim.deadline = never;
  shim.retry = retry_soon;
  if (shim.started) return;
  shim.started = true;
  if (write(verdict_descriptor, "0\n", 2) != 2) _exit(1); // dockerd no longer wants to know
  close(verdict_descriptor);
}

static void drop_connection(void) {
  if (shim.state == SERVED) shim.give_up_at = now() + shim.return_time;
  if (shim.connection >= 0) close(shim.connection);
  shim.connection = -1;
  shim.state = APART;
}

/** Becomes Docker's own docker-proxy. Comes back only if there is none. */
static void become_docker_proxy(void) {
  drop_connection();
  if (!shim.inherited && shim.listener >= 0) {
    if (shim.wanted.tcp) shutdown(shim.listener, SHUT_RDWR); // a copy still on its way must not hold the port
    close(shim.listener);
    shim.listener = -1;
  }
  if (shim.started) {
    int nowhere = open("/dev/null", O_RDWR);
    if (nowhere != verdict_descriptor) dup2(nowhere, verdict_descriptor), close(nowhere);
  }
  sigprocmask(SIG_SETMASK, &shim.mask, NULL);
  exec_docker_proxy(shim.argv);
  sigprocmask(SIG_BLOCK, &shim.handled, NULL);
}


static void add_endpoint(struct text *message, const char *ip, int port) {
  add(message, " ");
  add(message, ip);
  add(message, " ");
  add_number(message, port);
}

/** `1 ask tcp HOSTIP PORT CONTAINERIP PORT NETNS 0`: protocol version, kind, arguments, namespace, whether inherited. */
static bool send_request(const char *kind, int port, int passed) {
  struct stat namespace;
  if (stat("/proc/self/ns/net", &namespace) != 0) namespace.st_ino = 0;
  struct text message = {0};
  add(&message, PONTOON_SHIM_PROTOCOL " ");
  add(&message, kind);
  add(&message, shim.wanted.tcp ? " tcp" : " udp");
  add_endpoint(&message, shim.wanted.host_ip, port);
  add_endpoint(&message, shim.wanted.container_ip, shim.wanted.container_port);
  add(&message, " ");
  add_number(&message, (long long)namespace.st_ino);
  add(&message, shim.inherited ? " 1" : " 0");
  return send_packet(shim.connection, &message, passed);
}

/** Adds what pontoon-proxy knows of who has the port, if it answers soon: a container it publishes. */
static void add_owner(struct text *problem) {
  if (shim.connection < 0) shim.connection = connect_packets(shim.socket_path);
  struct pollfd watched = {shim.connection, POLLIN, 0};
  if (shim.connection < 0 || !send_request("who", ntohs(shim.wanted.host.v4.sin_port), -1) || poll(&watched, 1, who_time) <= 0) return;
  char answer[256];
  int passed, length = receive_packet(shim.connection, answer, sizeof answer, &passed);
  if (passed >= 0) close(passed);
  if (length <= 0 || strncmp(answer, "held ", 5) != 0) return;
  for (char *at = answer; *at; at++)
    if (*at < ' ' || *at > '~') *at = '?'; // dockerd hands the words on to somebody's terminal
  add(problem, ": ");
  add(problem, answer + 5);
}

static void bind_listener(void) {
  struct text problem = {0};
  shim.listener = open_listener(&shim.wanted, &problem);
  if (shim.listener >= 0) return;
  add_owner(&problem);
  fail(&problem);
}

/** Nobody serves this port, or whoever does has declined. @param reason may be NULL */
static void fall_back(const char *reason) {
  become_docker_proxy();
  if (shim.started) { // there is nobody to tell: the port is kept for a pontoon-proxy that changes its mind
    if (shim.listener < 0) bind_listener();
    shim.give_up_at = never;
    shim.retry = retry_late;
    shim.deadline = now() + retry_late;
    return;
  }
  struct text problem = {0};
  if (reason) {
    add(&problem, "pontoon-proxy declines: ");
    add(&problem, reason);
  } else {
    add(&problem, "pontoon-proxy does not answer at ");
    add(&problem, shim.socket_path);
  }
  add(&problem, ", and Docker's own docker-proxy was not found; start pontoon, or install docker-proxy");
  fail(&problem);
}

static void lose(void) {
  drop_connection();
  shim.deadline = now() + (shim.started ? shim.retry : retry_start);
}

static void hand_over(void) {
  shim.state = HANDING;
  shim.deadline = now() + hand_over_time;
  if (!send_request("serve", port_of(shim.listener), shim.listener)) lose();
}

static void ask(void) {
  shim.state = ASKING;
  shim.deadline = shim.give_up_at;
  if (!send_request("ask", ntohs(shim.wanted.host.v4.sin_port), -1)) lose();
}

static bool is_late(void) {
  return shim.give_up_at != never && now() >= shim.give_up_at;
}

/** Whether there is a daemon, which would start a dead pontoon-proxy again. The kernel tells by refusing to connect sockets of two types. */
static bool daemon_runs(void) {
  struct text path = {0};
  add_bytes(&path, shim.socket_path, strlen(shim.socket_path) - strlen(socket_name));
  add(&path, "control.sock");
  int connection = connect_packets(ended(&path));
  return connection < 0 ? errno == EPROTOTYPE : close(connection) == 0;
}

static void try_connecting(void) {
  // A pontoon-proxy that hangs has a copy of our UDP port, which nobody else can bind then.
  bool takes_all = shim.wanted.tcp || shim.inherited;
  if (shim.started && takes_all && is_late()) return fall_back(NULL);
  shim.connection = connect_packets(shim.socket_path);
  if (shim.connection >= 0) return shim.listener >= 0 ? hand_over() : ask();
  // Too slow to accept all, or dead and about to return; a socket file alone may be all that is left of pontoon.
  if (is_late() || (!shim.started && errno != EAGAIN && !(errno == ECONNREFUSED && daemon_runs()))) return fall_back(NULL);
  shim.deadline = now() + (shim.started ? shim.retry : retry_start);
  if (shim.started && (shim.retry *= 2) > retry_late) shim.retry = retry_late;
}

static void on_deadline(void) {
  if (shim.state == APART) return !shim.started && is_late() ? fall_back(NULL) : try_connecting();
  if (shim.started) return lose();
  // A UDP port cannot be taken back from a server that hangs with a copy of it; it is served when that wakes up.
  if (shim.state == HANDING && !shim.wanted.tcp && !shim.inherited) {
    succeed();
    return lose();
  }
  fall_back(NULL);
}

static void on_answer(void) {
  char answer[256];
  int passed;
  int length = receive_packet(shim.connection, answer, sizeof answer, &passed);
  if (length < 0) return;
  if (shim.state == ASKING && passed >= 0 && strcmp(answer, "kept") == 0) {
    shim.listener = passed; // left with pontoon-proxy by an earlier shim, whose dockerd ended
    return succeed();
  }
  if (passed >= 0) close(passed);
  if (length == 0) return lose();
  if (strncmp(answer, "no ", 3) == 0) return fall_back(answer + 3);
  if (shim.state == HANDING && strcmp(answer, "ok") == 0) return succeed();
  if (shim.state == ASKING && strcmp(answer, "ready") == 0) {
    bind_listener();
    shim.give_up_at = now() + hand_over_time;
    return hand_over();
  }
  shim.started ? lose() : fall_back("it gives an answer that makes no sense");
}

/**
 * @param keep only dockerd has ended: connections live on, and a listener of our own stays with pontoon-proxy, for the shim of
 * the dockerd that returns
 */
__attribute__((noreturn)) static void end(bool keep) {
  bool leaves = keep && !shim.inherited;
  bool handed = shim.connection >= 0 && (shim.state == SERVED || shim.state == HANDING);
  struct text farewell = {0};
  add(&farewell, keep ? "bye keep" : "bye");
  if (!handed || !send_packet(shim.connection, &farewell, leaves ? shim.listener : -1) || leaves) _exit(0);
  // dockerd may bind the port again the moment we end: the other copy has to be closed by then.
  long long until = now() + farewell_time;
  for (long long left = farewell_time; left > 0; left = until - now()) {
    struct pollfd watched = {shim.connection, POLLIN, 0};
    char answer[256];
    int passed;
    if (poll(&watched, 1, (int)left) <= 0) continue;
    int length = receive_packet(shim.connection, answer, sizeof answer, &passed);
    if (passed >= 0) close(passed);
    if (length == 0 || strcmp(answer, "gone") == 0) _exit(0);
  }
  if (shim.wanted.tcp) shutdown(shim.listener, SHUT_RDWR);
  _exit(0);
}

/**
 * The kernel sends SIGTERM in the name of the parent when the thread that started us ends. Docker before 23 let such
 * threads end while dockerd lives on; docker-proxy then dies for nothing. Only a parent that is gone counts.
 */
static void on_signal(void) {
  struct signalfd_siginfo signal;
  if (read(shim.signals, &signal, sizeof signal) != sizeof signal) return;
  if (signal.ssi_signo == SIGINT) end(false);
  if (getppid() != shim.parent) end(true);
  if ((pid_t)signal.ssi_pid != shim.parent) end(false);
}

static void watch_signals(void) {
  shim.parent = getppid();
  sigemptyset(&shim.handled);
  sigaddset(&shim.handled, SIGINT);
  sigaddset(&shim.handled, SIGTERM);
  shim.signals = signalfd(-1, &shim.handled, SFD_CLOEXEC | SFD_NONBLOCK);
  sigaddset(&shim.handled, SIGPIPE); // blocked, not ignored: that would be inherited by what is executed
  sigprocmask(SIG_BLOCK, &shim.handled, &shim.mask);
}

/** Descriptors of dockerd's that came along by accident would stay open as long as the port. */
static void tidy_descriptors(bool listen_given) {
  syscall(SYS_close_range, listen_given ? listen_descriptor + 1 : verdict_descriptor + 1, ~0U, 0);
  for (int descriptor = 0; descriptor <= verdict_descriptor;) {
    descriptor = open("/dev/null", O_RDWR);
    if (descriptor < 0 || descriptor <= verdict_descriptor) continue;
    close(descriptor);
    break;
  }
}

__attribute__((noreturn)) static void refuse(const char *what, const char *subject) {
  struct text problem = {0};
  add(&problem, what);
  add(&problem, subject);
  fail(&problem);
}

/** An address as Go's net.ParseIP takes it: IPv4 mapped into IPv6 is IPv4. @returns its text in messages */
static const char *read_address(const char *text, union address *address) {
  memset(address, 0, sizeof *address);
  if (*text == 0) text = "0.0.0.0";
  const char *plain = strncasecmp(text, "::ffff:", 7) == 0 ? text + 7 : text;
  if (inet_pton(AF_INET, plain, &address->v4.sin_addr) == 1) return address->any.sa_family = AF_INET, plain;
  if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) return address->any.sa_family = AF_INET6, text;
  refuse("invalid IP address: ", text);
}

static void refuse_port(const struct flags *flags, long long port) {
  struct text number = {0};
  add(&number, flags->protocol);
  add(&number, ": address ");
  add_number(&number, port);
  add(&number, ": invalid port");
  refuse("listen ", ended(&number));
}

static void read_publication(const struct flags *flags) {
  union address container;
  shim.wanted.host_ip = read_address(flags->host_ip, &shim.wanted.host);
  shim.wanted.container_ip = read_address(flags->container_ip, &container);
  if (flags->host_port < 0 || flags->host_port > 65535) refuse_port(flags, flags->host_port);
  if (flags->container_port < 0 || flags->container_port > 65535) refuse_port(flags, flags->container_port);
  shim.wanted.host.v4.sin_port = htons((unsigned short)flags->host_port);
  shim.wanted.container_port = (int)flags->container_port;
}

static void read_protocol(const char *protocol) {
  shim.wanted.tcp = strcmp(protocol, "tcp") == 0;
  if (shim.wanted.tcp || strcmp(protocol, "udp") == 0) return;
  if (strcmp(protocol, "sctp") != 0) refuse("unsupported protocol ", protocol);
  become_docker_proxy();
  refuse("unsupported protocol sctp: ", "pontoon leaves SCTP to Docker's own docker-proxy, which was not found; install it");
}

/** Milliseconds from dockerd's environment. */
static int time_from(const char *name, int otherwise) {
  const char *text = getenv(name);
  int time = text ? atoi(text) : 0;
  return time > 0 ? time : otherwise;
}

static void read_environment(void) {
  const char *folder = getenv("PONTOON_RUN_DIR");
  struct text path = {0};
  add(&path, folder && *folder ? folder : "/run/pontoon");
  add(&path, "/");
  add(&path, socket_name);
  if (path.used < sizeof shim.socket_path) strcpy(shim.socket_path, ended(&path));
  shim.give_up_at = now() + time_from("PONTOON_PATIENCE_MS", patience_default);
  shim.return_time = time_from("PONTOON_RETURN_MS", return_default);
}

static void begin(const struct flags *flags) {
  read_environment();
  read_protocol(flags->protocol);
  read_publication(flags);
  if (!flags->use_listen_fd) return try_connecting();
  struct text problem = {0};
  if (!adopt_listener(listen_descriptor, &shim.wanted, &problem)) fail(&problem);
  shim.listener = listen_descriptor;
  try_connecting();
}

int main(int argc, char **argv) {
  struct flags flags = parse_flags(argc, argv);
  if (flags.version) {
    static const char version[] = "docker-proxy (commit pontoon) version " PONTOON_VERSION "\n";
    return write(1, version, sizeof version - 1) < 0;
  }
  shim.argv = argv;
  shim.inherited = flags.use_listen_fd;
  tidy_descriptors(flags.use_listen_fd);
  watch_signals();
  begin(&flags);
  for (;;) {
    struct pollfd watched[2] = {{shim.signals, POLLIN, 0}, {shim.connection, POLLIN, 0}};
    long long left = shim.deadline == never ? never : shim.deadline - now();
    int ready = poll(watched, 2, left < never ? 0 : (int)left);
    if (ready > 0 && watched[0].revents) on_signal();
    else if (ready > 0 && watched[1].revents) on_answer();
    else if (shim.deadline != never && now() >= shim.deadline) on_deadline();
  }
}
