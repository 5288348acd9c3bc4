#include "flags.h"
#include "text.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    ":\n"
    "  -container-ip string\n    \tcontainer ip (default \"0.0.0.0\")\n"
    "  -container-port int\n    \tcontainer port (default -1)\n"
    "  -host-ip string\n    \thost ip (default \"0.0.0.0\")\n"
    "  -host-port int\n    \thost port (default -1)\n"
    "  -proto string\n    \tproxy protocol (default \"tcp\")\n"
    "  -use-listen-fd\n    \tuse a supplied listen fd\n"
    "  -v\tprint version information and quit\n"
    "  -version\n    \tprint version information and quit\n";

static const char *program;

__attribute__((noreturn)) static void show_usage(struct text *problem, int code) {
  add(problem, "Usage of ");
  add(problem, program);
  ssize_t said = write(2, problem->bytes, problem->used);
  if (said >= 0) said = write(2, usage, sizeof usage - 1);
  _exit(code);
}

__attribute__((noreturn)) static void refuse(const char *what, const char *subject, size_t length, const char *rest) {
  struct text problem = {0};
  add(&problem, what);
  add_bytes(&problem, subject, length);
  add(&problem, rest);
  add(&problem, "\n");
  show_usage(&problem, 2);
}

__attribute__((noreturn)) static void refuse_value(const char *what, const char *value, const char *name, size_t length, const char *why) {
  struct text problem = {0};
  add(&problem, what);
  add(&problem, value);
  add(&problem, "\" for ");
  add(&problem, *what == 'i' && strncmp(what, "invalid value", 13) == 0 ? "flag -" : "-");
  add_bytes(&problem, name, length);
  add(&problem, why);
  add(&problem, "\n");
  show_usage(&problem, 2);
}

static int digit(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  letter |= 0x20;
  return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : INT_MAX;
}

static int base_of(const char **text) {
  const char *at = *text;
  if (at[0] != '0' || at[1] == 0) return 10;
  char letter = (char)(at[1] | 0x20);
  int base = letter == 'x' ? 16 : letter == 'b' ? 2 : letter == 'o' ? 8 : 0;
  *text += base == 0 ? 1 : 2;
  return base == 0 ? 8 : base;
}

/** strconv.ParseInt(text, 0, 64). */
static const char *parse_number(const char *text, long long *number) {
  bool negative = *text == '-';
  if (*text == '-' || *text == '+') text++;
  int base = base_of(&text);
  if (*text == 0) return ": parse error";
  long long value = 0;
  for (; *text; text++) {
    if (*text == '_' && text[1] != 0) continue;
    int next = digit(*text);
    if (next >= base) return ": parse error";
    if (value > (LLONG_MAX - next) / base) return ": value out of range";
    value = value * base + next;
  }
  *number = negative ? -value : value;
  return NULL;
}

/** strconv.ParseBool. */
static bool parse_bool(const char *text, bool *value) {
  static const char *const words[2][6] = {{"0", "f", "F", "false", "FALSE", "False"}, {"1", "t", "T", "true", "TRUE", "True"}};
  for (int truth = 0; truth < 2; truth++)
    for (int index = 0; index < 6; index++)
      if (strcmp(text, words[truth][index]) == 0) {
        *value = truth;
        return true;
      }
  return false;
}

struct flag {
  const char *name;
  enum { TEXT, NUMBER, BOOLEAN } kind;
  void *into;
};

static void set(const struct flag *flag, const char *value) {
  size_t length = strlen(flag->name);
  if (flag->kind == TEXT) *(const char **)flag->into = value;
  else if (flag->kind == BOOLEAN) {
    if (!parse_bool(value, flag->into)) refuse_value("invalid boolean value \"", value, flag->name, length, ": parse error");
  } else {
    const char *why = parse_number(value, flag->into);
    if (why) refuse_value("invalid value \"", value, flag->name, length, why);
  }
}

static const struct flag *find(const struct flag *known, const char *name, size_t length) {
  for (; known->name; known++)
    if (strlen(known->name) == length && memcmp(known->name, name, length) == 0) return known;
  return NULL;
}

struct flags parse_flags(int argc, char **argv) {
  struct flags flags = {.protocol = "tcp", .host_ip = "0.0.0.0", .container_ip = "0.0.0.0", .host_port = -1, .container_port = -1};
  const struct flag known[] = {
      {"proto", TEXT, &flags.protocol},          {"host-ip", TEXT, &flags.host_ip},
      {"host-port", NUMBER, &flags.host_port},   {"container-ip", TEXT, &flags.container_ip},
      {"container-port", NUMBER, &flags.container_port}, {"use-listen-fd", BOOLEAN, &flags.use_listen_fd},
      {"v", BOOLEAN, &flags.version},            {"version", BOOLEAN, &flags.version},
      {NULL, TEXT, NULL},
  };
  program = argc > 0 ? argv[0] : "docker-proxy";
  for (int index = 1; index < argc; index++) {
    const char *word = argv[index];
    if (word[0] != '-' || word[1] == 0 || strcmp(word, "--") == 0) break; // no flag: Go stops reading here
    const char *name = word + (word[1] == '-' ? 2 : 1);
    if (*name == 0 || *name == '-' || *name == '=') refuse("bad flag syntax: ", word, strlen(word), "");
    size_t length = strcspn(name, "=");
    const struct flag *flag = find(known, name, length);
    if (!flag) {
      struct text nothing = {0};
      if ((length == 1 && *name == 'h') || (length == 4 && memcmp(name, "help", 4) == 0)) show_usage(&nothing, 0);
      refuse("flag provided but not defined: -", name, length, "");
    }
    if (name[length] == '=') set(flag, name + length + 1);
    else if (flag->kind == BOOLEAN) set(flag, "true");
    else if (index + 1 < argc) set(flag, argv[++index]);
    else refuse("flag needs an argument: -", name, length, "");
  }
  return flags;
}
