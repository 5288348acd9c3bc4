// What container engines start to connect a container: a plugin of CNI (specification 1.1), and one of netavark (plugin API 1.0.0).
// It passes on what it is told to the daemon, which does the work, and prints the answer; nothing slow to start stands in a
// container's way. Without a daemon it says so, as the engine understands it.
#include "daemon.h"
#include "json.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PONTOON_VERSION
#define PONTOON_VERSION "unknown"
#endif

/** Well-known error codes of the specification. */
enum { invalid_environment = 4, io_failure = 5, undecodable = 6, try_again = 11, not_available = 50 };
/** All of it is done by then, or given up, seconds. */
enum { time_at_most = 60 };
/** For a daemon that is just being restarted, ms. */
enum { patience = 3000 };

static const char supported[] = "\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"";

static struct {
  bool is_netavark;
  const char *command;
  char cni_version[16];
} call = {.command = "", .cni_version = "1.1.0"};

static char input[message_at_most + 1];
/** Node takes 16 KB of a request's head. */
static char target[12288];

static void print(const char *text, size_t length) {
  while (length > 0) {
    ssize_t written = write(STDOUT_FILENO, text, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(1);
    text += written;
    length -= (size_t)written;
  }
}

/** @param message plain ASCII without quotes and backslashes */
static void fail(int code, const char *message) {
  char text[1024];
  int length = call.is_netavark
                   ? snprintf(text, sizeof text, "{\"error\":\"%s\"}\n", message)
                   : snprintf(text, sizeof text, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"%s\"}\n", call.cni_version, code, message);
  print(text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
  _exit(1);
}

static int unreachable(void) {
  return strcmp(call.command, "STATUS") == 0 ? not_available : try_again;
}

static void on_alarm(int signal) {
  (void)signal;
  static const char netavark[] = "{\"error\":\"the pontoon daemon has not answered within 60 s; see pontoon status\"}\n";
  static const char cni[] =
      "{\"cniVersion\":\"1.1.0\",\"code\":11,\"msg\":\"the pontoon daemon has not answered within 60 s; see pontoon status\"}\n";
  if (call.is_netavark) print(netavark, sizeof netavark - 1);
  else print(cni, sizeof cni - 1);
  _exit(1);
}

static size_t read_input(void) {
  size_t used = 0;
  for (;;) {
    ssize_t got = read(STDIN_FILENO, input + used, sizeof input - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(io_failure, "what stands on standard input cannot be read");
    if (got == 0) return used;
    used += (size_t)got;
    if (used == sizeof input) fail(undecodable, "more than 1 MiB stands on standard input");
  }
}

static void add_parameter(const char *name, const char *value) {
  size_t used = strlen(target);
  used += (size_t)snprintf(target + used, sizeof target - used, "%c%s=", strchr(target, '?') ? '&' : '?', name);
  for (; *value; value++) {
    if (used + 4 > sizeof target) fail(invalid_environment, "what stands in the environment is too long");
    used += (size_t)snprintf(target + used, 4, "%%%02X", (unsigned char)*value);
  }
}

static const char *environment(const char *name) {
  const char *value = getenv(name);
  return value ? value : "";
}

static void write_cni_target(void) {
  strcpy(target, "/v1/cni");
  add_parameter("command", call.command);
  add_parameter("container", environment("CNI_CONTAINERID"));
  add_parameter("netns", environment("CNI_NETNS"));
  add_parameter("ifname", environment("CNI_IFNAME"));
  add_parameter("args", environment("CNI_ARGS"));
}

static void write_netavark_target(const char *netns) {
  strcpy(target, "/v1/netavark");
  add_parameter("command", call.command);
  add_parameter("netns", netns);
}

/** Where the configuration says that the daemon's sockets are. */
static void find_socket(size_t length, char *path, size_t room) {
  static const char *const cni[] = {"runDir", NULL};
  static const char *const network[] = {"network", "options", "runDir", NULL};
  static const char *const created[] = {"options", "runDir", NULL};
  const char *const *place = !call.is_netavark ? cni : strcmp(call.command, "create") == 0 ? created : network;
  char folder[80];
  if (!find_string(input, length, place, folder, sizeof folder) || folder[0] != '/') strcpy(folder, "/run/pontoon");
  snprintf(path, room, "%s/control.sock", folder);
}

static int connect_or_fail(const char *path) {
  int connection = connect_daemon(path, strcmp(call.command, "STATUS") == 0 ? 0 : patience);
  if (connection >= 0) return connection;
  char message[256];
  const char *why = errno == EACCES ? "root alone may ask the pontoon daemon" : "no pontoon daemon answers";
  snprintf(message, sizeof message, "%s on %s; start one (systemctl start pontoon), or name its runDir", why, path);
  fail(unreachable(), message);
  return -1;
}

static int pass_on(size_t length) {
  char path[108];
  find_socket(length, path, sizeof path);
  struct reply reply = ask(connect_or_fail(path), target, input, length);
  if (reply.status != 200 && reply.status != 400)
    fail(unreachable(), reply.status == 0 ? "the pontoon daemon ended before it had answered; try again"
                                          : "the pontoon daemon does not know what it was asked; restart it after an update");
  print(reply.body, reply.length);
  return reply.status == 200 ? 0 : 1;
}

static int serve_cni(void) {
  static const char *const version[] = {"cniVersion", NULL};
  size_t length = read_input();
  char given[sizeof call.cni_version];
  if (find_string(input, length, version, given, sizeof given) && strspn(given, "0123456789.") == strlen(given))
    strcpy(call.cni_version, given);
  if (strcmp(call.command, "VERSION") == 0)
    return printf("{\"cniVersion\":\"%s\",\"supportedVersions\":[%s]}\n", call.cni_version, supported) < 0;
  write_cni_target();
  return pass_on(length);
}

static int serve_netavark(const char *netns) {
  if (strcmp(call.command, "info") == 0)
    return printf("{\"version\":\"%s\",\"api_version\":\"1.0.0\"}\n", PONTOON_VERSION) < 0;
  size_t length = read_input();
  write_netavark_target(netns);
  return pass_on(length);
}

static bool is_netavark_command(const char *word) {
  static const char *const words[] = {"create", "setup", "teardown", "info"};
  for (size_t index = 0; index < sizeof words / sizeof *words; index++)
    if (strcmp(word, words[index]) == 0) return true;
  return false;
}

int main(int argc, char **argv) {
  signal(SIGALRM, on_alarm);
  alarm(time_at_most);
  call.is_netavark = argc > 1 && is_netavark_command(argv[1]);
  if (call.is_netavark) {
    call.command = argv[1];
    return serve_netavark(argc > 2 ? argv[2] : "");
  }
  call.command = environment("CNI_COMMAND");
  if (argc == 1 && *call.command) return serve_cni();
  fprintf(stderr, "pontoon-cni %s: container engines start it, as a plugin of CNI (with CNI_COMMAND) or of netavark "
                  "(create, setup, teardown, info); see docs/other-engines.md\n", PONTOON_VERSION);
  return 2;
}
