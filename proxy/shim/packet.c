#include "packet.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

union rights {
  struct cmsghdr header;
  char room[CMSG_SPACE(sizeof(int))];
};

int connect_packets(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return errno = ENOENT, -1;
  strcpy(address.sun_path, path);
  int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) == 0) return connection;
  int error = errno;
  close(connection);
  return errno = error, -1;
}

bool send_packet(int connection, struct text *message, int passed) {
  struct iovec bytes = {message->bytes, message->used};
  union rights rights = {0};
  struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1};
  if (passed >= 0) {
    header.msg_control = &rights;
    header.msg_controllen = sizeof rights.room;
    rights.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof passed), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&rights.header), &passed, sizeof passed);
  }
  return sendmsg(connection, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)message->used;
}

int receive_packet(int connection, char *into, size_t room, int *passed) {
  struct iovec bytes = {into, room - 1};
  union rights rights = {0};
  struct msghdr header = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights.room};
  *passed = -1;
  ssize_t got = recvmsg(connection, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  // The other side ended without having read all: what it said before is still there.
  if (got < 0 && errno == ECONNRESET) got = recvmsg(connection, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return errno == EAGAIN || errno == EINTR ? -1 : 0;
  into[got] = 0;
  struct cmsghdr *first = CMSG_FIRSTHDR(&header);
  if (first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS && first->cmsg_len == CMSG_LEN(sizeof *passed))
    memcpy(passed, CMSG_DATA(first), sizeof *passed);
  return (int)got;
}
