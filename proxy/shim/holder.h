// Who holds a port that could not be bound.
#pragma once
#include "text.h"
#include <netinet/in.h>
#include <stdbool.h>

union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

/** Adds ` (held by nginx, pid 4711)`, or as much of it as can be known from here. Reads /proc; slow on a large host. */
void add_holder(struct text *text, const char *protocol, const union address *wanted);
