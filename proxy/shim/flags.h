// The command line of docker-proxy, as Go's flag package reads it.
#pragma once
#include <stdbool.h>

struct flags {
  const char *protocol, *host_ip, *container_ip;
  long long host_port, container_port;
  bool use_listen_fd, version;
};

/** Ends the process on wrong usage: exit code 2 and the usage on stderr, as Go does; 0 after -h. */
struct flags parse_flags(int argc, char **argv);
