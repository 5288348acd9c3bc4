import t from "tap";
import { closeDescriptor, congestionControl, setCongestionControl, tcpSocket } from "../../linux/socket.js";
import { Dialer } from "./dial.js";

t.test("sockets towards containers are not paced, whatever the host's own are", (t) => {
  const dialer = new Dialer();
  for (const family of ["ipv4", "ipv6"] as const) {
    t.ok(dialer.prepare(family));
    const fd = dialer.take(family);
    t.notMatch(congestionControl(fd), /^bbr/);
    closeDescriptor(fd);
  }
  t.end();
});

t.test("a socket's congestion control is told and chosen", (t) => {
  const fd = tcpSocket();
  setCongestionControl(fd, "reno");
  t.equal(congestionControl(fd), "reno");
  t.throws(() => setCongestionControl(fd, "none-such"), { code: "ENOENT" });
  closeDescriptor(fd);
  t.end();
});
