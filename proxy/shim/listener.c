#include "listener.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPV6_RECVPKTINFO
#define IPV6_RECVPKTINFO 49
#endif

static bool set(int descriptor, int level, int option) {
  int one = 1;
  return setsockopt(descriptor, level, option, &one, sizeof one) == 0;
}

/** Error texts as Go has them, since people search for those. */
static void add_error(struct text *problem, int error) {
  switch (error) {
    case EADDRINUSE: return add(problem, "address already in use");
    case EADDRNOTAVAIL: return add(problem, "cannot assign requested address");
    case EACCES: return add(problem, "permission denied");
    case EAFNOSUPPORT: return add(problem, "address family not supported by protocol");
    case EMFILE: return add(problem, "too many open files");
    case ENFILE: return add(problem, "too many open files in system");
    case ENOBUFS: return add(problem, "no buffer space available");
    default: add(problem, "errno "); add_number(problem, error);
  }
}

static int refuse(const struct publication *wanted, int descriptor, const char *call, struct text *problem) {
  int error = errno;
  if (descriptor >= 0) close(descriptor);
  bool v4 = wanted->host.any.sa_family == AF_INET;
  add(problem, wanted->tcp ? "listen tcp" : "listen udp");
  add(problem, v4 ? "4 " : "6 [");
  add(problem, wanted->host_ip);
  add(problem, v4 ? ":" : "]:");
  add_number(problem, ntohs(wanted->host.v4.sin_port));
  add(problem, call);
  add_error(problem, error);
  if (error == EADDRINUSE) add_holder(problem, wanted->tcp ? "tcp" : "udp", &wanted->host);
  return -1;
}

/** Bytes of datagrams that may wait at a port; also in linux/listener.ts. */
enum { udp_buffer = 8 << 20 };

static bool prepare_for_datagrams(int descriptor, bool v4) {
  int bytes = udp_buffer;
  if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0) // beyond net.core.rmem_max, if we may
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  return v4 ? set(descriptor, IPPROTO_IP, IP_PKTINFO) : set(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO);
}

int open_listener(const struct publication *wanted, struct text *problem) {
  bool v4 = wanted->host.any.sa_family == AF_INET;
  int kind = (wanted->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  int descriptor = socket(wanted->host.any.sa_family, kind, 0);
  if (descriptor < 0) return refuse(wanted, -1, ": socket: ", problem);
  bool ready = v4 || set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY);
  ready = ready && (wanted->tcp ? set(descriptor, SOL_SOCKET, SO_REUSEADDR) : prepare_for_datagrams(descriptor, v4));
  if (!ready) return refuse(wanted, descriptor, ": setsockopt: ", problem);
  if (bind(descriptor, &wanted->host.any, v4 ? sizeof wanted->host.v4 : sizeof wanted->host.v6) != 0)
    return refuse(wanted, descriptor, ": bind: ", problem);
  if (wanted->tcp && listen(descriptor, 65535) != 0) return refuse(wanted, descriptor, ": listen: ", problem); // the kernel lowers it to somaxconn
  return descriptor;
}

static int option(int descriptor, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

bool adopt_listener(int descriptor, const struct publication *wanted, struct text *problem) {
  int family = wanted->host.any.sa_family;
  bool fits = option(descriptor, SO_TYPE) == (wanted->tcp ? SOCK_STREAM : SOCK_DGRAM) && option(descriptor, SO_DOMAIN) == family &&
              option(descriptor, SO_PROTOCOL) == (wanted->tcp ? IPPROTO_TCP : IPPROTO_UDP);
  if (!fits || (wanted->tcp && option(descriptor, SO_ACCEPTCONN) != 1)) {
    add(problem, "descriptor 4 is not a ");
    add(problem, wanted->tcp ? "listening TCP" : "UDP");
    add(problem, family == AF_INET ? " socket of IPv4" : " socket of IPv6");
    return false;
  }
  fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  return wanted->tcp || prepare_for_datagrams(descriptor, family == AF_INET);
}

int port_of(int descriptor) {
  union address bound = {0};
  socklen_t length = sizeof bound;
  return getsockname(descriptor, &bound.any, &length) == 0 ? ntohs(bound.v4.sin_port) : 0;
}
