#define _GNU_SOURCE
#include "daemon.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const int retry_every = 20; // ms

int connect_daemon(const char *path, int patience) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return errno = ENAMETOOLONG, -1;
  strcpy(address.sun_path, path);
  for (;; patience -= retry_every) {
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) == 0) return connection;
    int error = errno;
    close(connection);
    bool may_come = error == ENOENT || error == ECONNREFUSED || error == EAGAIN;
    if (!may_come || patience <= 0) return errno = error, -1;
    nanosleep(&(struct timespec){.tv_nsec = retry_every * 1000000L}, NULL);
  }
}

static bool send_all(int connection, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t sent = send(connection, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes += sent;
    length -= (size_t)sent;
  }
  return true;
}

/** Room for the head, and an end. */
static char answer[message_at_most + 8192];

/** Up to the connection's end: HTTP/1.0 knows no other. @returns bytes; 0 for none, or too many */
static size_t read_answer(int connection) {
  size_t used = 0;
  while (used < sizeof answer - 1) {
    ssize_t got = recv(connection, answer + used, sizeof answer - 1 - used, 0);
    // A daemon that ended without having read all: what it said before is still there.
    if (got < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (got <= 0) return answer[used] = 0, used;
    used += (size_t)got;
  }
  return 0;
}

/** Of a daemon that ended meanwhile half an answer is none. */
static struct reply parse_answer(size_t used) {
  const struct reply none = {0};
  char *head_end = strstr(answer, "\r\n\r\n");
  if (used == 0 || !head_end || strncmp(answer, "HTTP/1.", 7) != 0) return none;
  *head_end = 0;
  const char *length = strcasestr(answer, "\r\ncontent-length:");
  struct reply reply = {.status = atoi(answer + 9), .body = head_end + 4};
  reply.length = used - (size_t)(reply.body - answer);
  return length && strtoul(length + 17, NULL, 10) == reply.length ? reply : none;
}

struct reply ask(int connection, const char *target, const char *body, size_t length) {
  char head[64];
  const char *end = " HTTP/1.0\r\nhost: pontoon\r\ncontent-type: text/plain\r\n";
  int size = snprintf(head, sizeof head, "content-length: %zu\r\n\r\n", length);
  // A daemon that wants no more of it says why.
  (void)(send_all(connection, "POST ", 5) && send_all(connection, target, strlen(target)) &&
         send_all(connection, end, strlen(end)) && send_all(connection, head, (size_t)size) &&
         send_all(connection, body, length));
  return parse_answer(read_answer(connection));
}
