import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { atOnce } from "./pieces.js";
import { processes } from "./proc.js";
import { boundSockets, eachHolder, listeningUnixSockets, type BoundSocket } from "./proc-sockets.js";

function table(t: Test, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "table");
  writeFileSync(path, text);
  return path;
}

t.test("bound sockets are read, and what is not one is read over", (t) => {
  const path = table(
    t,
    `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15871 2 0 0
   1: 0000000000000000FFFF00000100007F:0035 0:0 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0
   2: 0B00007F:0036 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 0
   3: nonsense

   4: 0B:0035
   5`,
  );
  const found: BoundSocket[] = [];
  atOnce(
    boundSockets(
      path,
      (port) => port === 53,
      (socket) => found.push(socket),
    ),
  );
  t.same(found, [
    { address: { ip: "127.0.0.11", port: 53 }, state: 0x07, inode: 15871 },
    { address: { ip: "::ffff:7f00:1", port: 53 }, state: 0x0a, inode: 99 },
  ]);
  t.end();
});

t.test("unix sockets that listen are read, whatever they are called", (t) => {
  const path = table(
    t,
    `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 11 /run/a.sock
0000000000000000: 00000003 00000000 00000000 0001 03 12 /run/connected.sock
0000000000000000: 00000002 00000000 00010000 0005 01 13 @abstract
0000000000000000: 00000002 00000000 00010000 0001 01 14
0000000000000000: 00000002 00000000 00010000 0001 01 15 /run/with a blank
0000000000000000: 00000002 00000000 00010000 0001 01 16 /run/\x1b[2J(
nonsense
`,
  );
  const found: [string, number][] = [];
  atOnce(listeningUnixSockets((path, inode) => found.push([path, inode]), path));
  t.same(found, [
    ["/run/a.sock", 11],
    ["@abstract", 13],
    ["", 14],
    ["/run/with", 15],
    ["/run/\x1b[2J(", 16],
  ]);
  t.end();
});

t.test(
  "a listening unix socket is seen, and who holds it; one with a line feed in its name keeps nobody from it",
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
    const [odd, plain] = [join(folder, "a\nb"), join(folder, "c")];
    for (const path of [odd, plain]) {
      const server = createServer().listen(path);
      t.teardown(() => server.close());
      await once(server, "listening");
    }
    t.teardown(() => rmSync(folder, { recursive: true }));
    const found = new Map<string, number>();
    atOnce(listeningUnixSockets((path, inode) => found.set(path, inode)));
    t.ok(found.has(join(folder, "a")), "as far as its first line");
    const inode = found.get(plain)!;
    const holders: number[] = [];
    atOnce(eachHolder(atOnce(processes()), new Set([inode]), (_, pid) => (holders.push(pid), false)));
    t.same(holders, [process.pid]);
    let count = 0;
    atOnce(eachHolder([process.pid, process.pid], new Set([inode]), () => ++count > 0));
    t.equal(count, 1, "no further than is wanted");
  },
);
