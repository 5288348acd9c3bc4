#pragma once
#include <stdbool.h>
#include <stddef.h>

/** Bytes of what a runtime says, and of what the daemon answers, at most. */
enum { message_at_most = 1 << 20 };

/** What the daemon answered. */
struct reply {
  /** Of HTTP; 0 when nothing was answered. */
  int status;
  const char *body;
  size_t length;
};

/**
 * Connects to the daemon's control socket.
 * @param patience how long to wait for a daemon that is about to be there, ms
 * @returns a descriptor; -1 with errno
 */
int connect_daemon(const char *path, int patience);

/** Sends `POST target` with a body, and reads the whole answer. */
struct reply ask(int connection, const char *target, const char *body, size_t length);
