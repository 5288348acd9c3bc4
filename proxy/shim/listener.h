// The socket a port is published on: dockerd's, or one of our own.
#pragma once
#include "holder.h"
#include <stdbool.h>

/** What is to be published, checked. */
struct publication {
  bool tcp;
  union address host;
  /** As in messages: never an IPv4 address mapped into IPv6. */
  const char *host_ip, *container_ip;
  int container_port;
};

/** Binds and listens as docker-proxy does. @returns the descriptor, or -1 with the reason in `problem`. */
int open_listener(const struct publication *wanted, struct text *problem);
/** Checks and prepares a socket that dockerd has bound. @returns false with the reason in `problem` */
bool adopt_listener(int descriptor, const struct publication *wanted, struct text *problem);
/** The port a socket is bound to. */
int port_of(int descriptor);
