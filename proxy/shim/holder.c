#include "holder.h"
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/** What the kernel's getdents64 gives; musl's readdir needs malloc. */
struct entry {
  unsigned long long inode;
  long long next;
  unsigned short length;
  unsigned char kind;
  char name[];
};

static unsigned long hex(const char *text, int digits) {
  unsigned long value = 0;
  for (; digits > 0; digits--, text++) value = value << 4 | (unsigned long)(*text <= '9' ? *text - '0' : (*text | 0x20) - 'a' + 10);
  return value;
}

/** The address of a line of /proc/net/tcp, as the kernel keeps it: 32-bit words in the machine's order. */
static void read_address(const char *text, int words, unsigned char *into) {
  for (int word = 0; word < words; word++) {
    unsigned int value = (unsigned int)hex(text + word * 8, 8);
    memcpy(into + word * 4, &value, 4);
  }
}

static bool all_zero(const unsigned char *bytes, int length) {
  while (length > 0 && bytes[length - 1] == 0) length--;
  return length == 0;
}

/** Whether a socket bound to `held` keeps another from being bound to `wanted`: same address, or one of them any. */
static bool clashes(const unsigned char *held, int length, const union address *wanted) {
  const unsigned char *mine = wanted->any.sa_family == AF_INET ? (const void *)&wanted->v4.sin_addr : (const void *)&wanted->v6.sin6_addr;
  int size = wanted->any.sa_family == AF_INET ? 4 : 16;
  if (all_zero(held, length)) return true;
  if (length != size) return false;
  return all_zero(mine, size) || memcmp(held, mine, (size_t)size) == 0;
}

static const char *field(const char *line, int number) {
  for (;; number--) {
    while (*line == ' ') line++;
    if (number == 0) return line;
    while (*line && *line != ' ') line++;
  }
}

/** The socket's inode if this line of /proc/net is what stands in the way, else 0. */
static unsigned long long match_line(const char *line, const union address *wanted, bool listening_only) {
  const char *local = field(line, 1);
  size_t digits = strcspn(local, ":");
  if (digits != 8 && digits != 32) return 0;
  if (hex(local + digits + 1, 4) != ntohs(wanted->v4.sin_port)) return 0; // the port lies at the same place in both kinds
  if (listening_only && hex(field(line, 3), 2) != 0x0A) return 0;
  unsigned char held[16];
  read_address(local, (int)digits / 8, held);
  if (!clashes(held, (int)digits / 2, wanted)) return 0;
  unsigned long long inode = 0;
  for (const char *at = field(line, 9); *at >= '0' && *at <= '9'; at++) inode = inode * 10 + (unsigned)(*at - '0');
  return inode;
}

static unsigned long long find_socket(const char *path, const union address *wanted, bool listening_only) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char buffer[4096];
  size_t held = 0;
  unsigned long long inode = 0;
  for (ssize_t got; inode == 0 && (got = read(file, buffer + held, sizeof buffer - 1 - held)) > 0;) {
    held += (size_t)got;
    char *line = buffer;
    for (char *end; inode == 0 && (end = memchr(line, '\n', held - (size_t)(line - buffer))); line = end + 1) {
      *end = 0;
      inode = match_line(line, wanted, listening_only);
    }
    held -= (size_t)(line - buffer);
    memmove(buffer, line, held);
    if (held == sizeof buffer - 1) held = 0; // no line is that long
  }
  close(file);
  return inode;
}

static size_t read_file(const char *pid, const char *name, char *into, size_t room) {
  struct text path = {0};
  add(&path, "/proc/");
  add(&path, pid);
  add(&path, name);
  int file = open(ended(&path), O_RDONLY | O_CLOEXEC);
  ssize_t got = file < 0 ? 0 : read(file, into, room - 1);
  if (file >= 0) close(file);
  size_t length = got < 0 ? 0 : (size_t)got;
  into[length] = 0;
  return length;
}

typedef bool (*visitor)(const char *name, void *context);

/** Calls `visit` for each entry of a folder that is a number, until it says true. */
static bool each_number(const char *path, visitor visit, void *context) {
  int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return false;
  _Alignas(8) char buffer[2048];
  bool done = false;
  for (long got; !done && (got = syscall(SYS_getdents64, folder, buffer, sizeof buffer)) > 0;)
    for (long at = 0; !done && at < got;) {
      const struct entry *entry = (const void *)(buffer + at);
      if (entry->name[0] >= '1' && entry->name[0] <= '9') done = visit(entry->name, context);
      else if (entry->name[0] == '0' && entry->name[1] == 0) done = visit(entry->name, context);
      at += entry->length;
    }
  close(folder);
  return done;
}

struct search {
  const char *link; // socket:[4711]
  const char *folder;
  char pid[16]; // of the best so far
  int rank;
};

static bool is_socket(const char *name, void *context) {
  struct search *search = context;
  struct text path = {0};
  add(&path, search->folder);
  add(&path, "/");
  add(&path, name);
  char target[64];
  ssize_t length = readlink(ended(&path), target, sizeof target);
  return length == (ssize_t)strlen(search->link) && memcmp(target, search->link, (size_t)length) == 0;
}

static const char *argument(const char *command_line, size_t length, const char *flag) {
  for (const char *at = command_line; at < command_line + length; at += strlen(at) + 1)
    if (strcmp(at, flag) == 0) return at + strlen(at) + 1;
  return NULL;
}

enum { OTHER, SERVER, PUBLISHER };

/** A docker-proxy is named first, then a server of pontoon's: others only hold the same socket on its behalf. */
static int rank_of(const char *pid) {
  char command_line[1024];
  size_t length = read_file(pid, "/cmdline", command_line, sizeof command_line);
  if (argument(command_line, length, "-container-ip")) return PUBLISHER;
  return strncmp(command_line, "pontoon-", 8) == 0 ? SERVER : OTHER;
}

static bool visit_process(const char *pid, void *context) {
  struct search *search = context;
  struct text folder = {0};
  add(&folder, "/proc/");
  add(&folder, pid);
  add(&folder, "/fd");
  search->folder = ended(&folder);
  if (strlen(pid) >= sizeof search->pid || !each_number(search->folder, is_socket, search)) return false;
  int rank = rank_of(pid);
  if (rank > search->rank || search->pid[0] == 0) strcpy(search->pid, pid), search->rank = rank;
  return rank == PUBLISHER;
}

static void describe_process(struct text *text, const char *pid) {
  char command_line[1024], name[32];
  size_t length = read_file(pid, "/cmdline", command_line, sizeof command_line);
  read_file(pid, "/comm", name, sizeof name);
  name[strcspn(name, "\n")] = 0;
  const char *slash = strrchr(command_line, '/'), *program = slash ? slash + 1 : command_line;
  // The kernel keeps 15 letters of a name, and from Node 24 on this is the name of its main thread; a server of ours has its own as first argument.
  bool cut = (strlen(name) == 15 && strncmp(program, name, 15) == 0) || strcmp(name, "MainThread") == 0 || strcmp(name, "node-MainThread") == 0;
  add(text, (cut && *program) || strncmp(command_line, "pontoon-", 8) == 0 ? program : name);
  add(text, ", pid ");
  add(text, pid);
  const char *ip = argument(command_line, length, "-container-ip"), *port = argument(command_line, length, "-container-port");
  if (!ip || !port) return;
  bool v6 = strchr(ip, ':') != NULL;
  add(text, v6 ? ", which publishes [" : ", which publishes ");
  add(text, ip);
  add(text, v6 ? "]:" : ":");
  add(text, port);
  add(text, " there");
}

/** A process may call itself anything, and dockerd hands the words on to somebody's terminal. */
static void make_plain(struct text *text) {
  for (size_t at = 0; at < text->used; at++)
    if (text->bytes[at] < ' ' || text->bytes[at] > '~') text->bytes[at] = '?';
}

void add_holder(struct text *text, const char *protocol, const union address *wanted) {
  bool tcp = protocol[0] == 't', v4 = wanted->any.sa_family == AF_INET;
  const char *same = tcp ? (v4 ? "/proc/self/net/tcp" : "/proc/self/net/tcp6") : (v4 ? "/proc/self/net/udp" : "/proc/self/net/udp6");
  const char *other = tcp ? "/proc/self/net/tcp6" : "/proc/self/net/udp6";
  unsigned long long inode = find_socket(same, wanted, tcp);
  if (inode == 0 && v4) inode = find_socket(other, wanted, tcp); // a socket of both families
  if (inode == 0 && tcp) inode = find_socket(same, wanted, false);
  if (inode == 0) return add(text, " (held by a socket that does not listen)");
  struct text link = {0};
  add(&link, "socket:[");
  add_number(&link, (long long)inode);
  add(&link, "]");
  struct search search = {.link = ended(&link)};
  each_number("/proc", visit_process, &search);
  add(text, " (held by ");
  if (search.pid[0] == 0) add(text, "a process that cannot be seen from here");
  else {
    struct text described = {0};
    describe_process(&described, search.pid);
    make_plain(&described);
    add(text, ended(&described));
  }
  add(text, ")");
}
