import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import t from "tap";
import { holdersOf, listenersOf, parseListeners } from "./sockets.js";

t.test("addresses, ports and states are read from /proc/net", (t) => {
  const udp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  412: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 15871 2 0000000000000000 0
  413: 0200000A:C001 0300000A:0035 01 00000000:00000000 00:00000000 00000000     0        0 15872 2 0000000000000000 0
`;
  t.same(parseListeners(udp, "udp"), [{ transport: "udp", ip: "127.0.0.53", port: 53, inode: 15871 }], "one that is connected does not wait for queries");
  const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0
   1: 000000FD000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 98 1 0 100 0 0 10 0
`;
  t.same(parseListeners(tcp6, "tcp").map(({ ip }) => ip), ["::", "fd00::1"]);
  t.same(parseListeners("", "tcp"), []);
  t.end();
});

t.test("the process behind a listener is found", async (t) => {
  const udp = createSocket("udp6").bind(0, "::1");
  const tcp = createServer().listen(0, "127.0.0.1");
  t.teardown(() => (udp.close(), tcp.close()));
  await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  const ports = [udp.address().port, (tcp.address() as { port: number }).port];
  const holders = holdersOf(listenersOf("self").filter(({ port }) => ports.includes(port)));
  t.equal(holders.length, 1);
  t.match(holders[0], { pid: process.pid, command: /./ });
  t.same(holders[0]!.listeners.map(({ transport, ip }) => `${transport} ${ip}`).sort(), ["tcp 127.0.0.1", "udp ::1"]);
  t.same(holdersOf([{ transport: "udp", ip: "127.0.0.1", port: 53, inode: 1 }]), [{ pid: undefined, command: undefined, listeners: [{ transport: "udp", ip: "127.0.0.1", port: 53 }] }], "one that nobody is seen to hold");
});
