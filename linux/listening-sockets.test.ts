import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { atOnce } from "./pieces.js";
import { heldBy, holdersOf, listenersAt, listenersIn } from "./listening-sockets.js";

t.test("addresses, ports and states are read from /proc/net", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  write(
    "udp",
    `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  412: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 15871 2 0000000000000000 0
  413: 0200000A:0035 0300000A:0035 01 00000000:00000000 00:00000000 00000000     0        0 15872 2 0000000000000000 0
  414: 0200000A:0036 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15873 2 0000000000000000 0
`,
  );
  write("tcp", "");
  write(
    "tcp6",
    `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0
   1: 000000FD000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 98 1 0 100 0 0 10 0
   2: nonsense
`,
  );
  t.same(atOnce(listenersIn(folder, 53)), [
    { transport: "udp", ip: "127.0.0.53", port: 53, inode: 15871 }, // one that is connected does not wait for queries
    { transport: "tcp", ip: "::", port: 53, inode: 99 },
    { transport: "tcp", ip: "fd00::1", port: 53, inode: 98 },
  ]);
  t.throws(() => atOnce(listenersIn(join(folder, "gone"), 53)), { code: "ENOENT" });
  t.end();
});

t.test("the process behind a listener is found", async (t) => {
  const udp = createSocket("udp6").bind(0, "::1");
  const tcp = createServer().listen(0, "127.0.0.1");
  t.teardown(() => (udp.close(), tcp.close()));
  await Promise.all([once(udp, "listening"), once(tcp, "listening")]);
  const ports = [udp.address().port, (tcp.address() as { port: number }).port];
  const listeners = (await Promise.all(ports.map((port) => listenersAt(port, "self")))).flat();
  const holders = heldBy(listeners, await holdersOf(listeners));
  t.equal(holders.length, 1);
  t.match(holders[0], { pid: process.pid, command: /./ });
  t.same(holders[0]!.listeners.map(({ transport, ip }) => `${transport} ${ip}`).sort(), ["tcp 127.0.0.1", "udp ::1"]);
  const unseen = [{ transport: "udp", ip: "127.0.0.1", port: 53, inode: 1 }] as const;
  t.same(
    heldBy(unseen, await holdersOf(unseen)),
    [{ pid: undefined, command: undefined, listeners: [{ transport: "udp", ip: "127.0.0.1", port: 53 }] }],
    "one that nobody is seen to hold",
  );
});
