import { spawn } from "node:child_process";
import { mkdtempSync, openSync, closeSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import t, { type Test } from "tap";
import { inheritedListener } from "./socket-activation.js";
import {
  bindSocket,
  bindUnix,
  closeDescriptor,
  datagramSocket,
  listenSocket,
  packetSocket,
  streamSocket,
  tcpSocket,
} from "./socket.js";

/** What the child says: the descriptor it found, what it has left in its environment, and whether a program of its own has the descriptor. */
interface Report {
  readonly fd: number | null;
  readonly environment: readonly string[];
  readonly passedOn: boolean;
}

const child = `
  const { spawnSync } = await import("node:child_process");
  const { inheritedListener } = await import(${JSON.stringify(new URL("socket-activation.js", import.meta.url).href)});
  const fd = inheritedListener(process.env.WANTED) ?? null;
  const environment = Object.keys(process.env).filter((name) => name.startsWith("LISTEN_"));
  const { stdout } = spawnSync("/bin/sh", ["-c", "for fd in 3 4 5 6; do readlink /proc/$$/fd/$fd; done"], { encoding: "utf8" });
  console.log(JSON.stringify({ fd, environment, passedOn: stdout.includes("socket:") }));
`;

/** Starts a process as systemd does: a shell that is that process names itself in LISTEN_PID, and becomes the program. */
async function started(wanted: string, descriptors: readonly number[], pid = "$$"): Promise<Report> {
  const program = spawn(
    "/bin/sh",
    [
      "-c",
      `LISTEN_PID=${pid} LISTEN_FDS=${descriptors.length} LISTEN_FDNAMES=a:b exec "$@"`,
      "sh",
      process.execPath,
      "--input-type=module",
      "--eval",
      child,
    ],
    { stdio: ["ignore", "pipe", "inherit", ...descriptors], env: { ...process.env, WANTED: wanted } },
  );
  return JSON.parse(await text(program.stdout!)) as Report;
}

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

function opened(t: Test, make: () => number): number {
  const fd = make();
  t.teardown(() => closeDescriptor(fd));
  return fd;
}

function bound(t: Test, make: () => number, path: string, listens = true): number {
  const fd = opened(t, make);
  bindUnix(fd, path);
  if (listens) listenSocket(fd, 1);
  return fd;
}

t.test("a process finds the socket it was started with, and keeps it from others", async (t) => {
  const folder = folderOf(t);
  const path = join(folder, "wanted.sock");
  const listener = bound(t, streamSocket, path);
  t.same(await started(path, [listener]), { fd: 3, environment: [], passedOn: false });
});

t.test("among others it is found by what it is bound to", async (t) => {
  const folder = folderOf(t);
  const path = join(folder, "wanted.sock");
  const file = openSync("/dev/null", "r");
  t.teardown(() => closeSync(file));
  const tcp = opened(t, tcpSocket);
  bindSocket(tcp, { ip: "127.0.0.1", port: 0 });
  listenSocket(tcp, 1);
  const others = [file, bound(t, streamSocket, join(folder, "other.sock")), tcp];
  t.same(await started(path, [...others, bound(t, streamSocket, path)]), { fd: 6, environment: [], passedOn: false });
});

t.test("what does not listen, or is no stream, is not taken for it", async (t) => {
  const folder = folderOf(t);
  const path = (name: string) => join(folder, name);
  for (const [name, make, listens] of [
    ["idle", streamSocket, false],
    ["datagram", datagramSocket, false],
    ["packets", packetSocket, true],
  ] as const) {
    const fd = bound(t, make, path(name), listens);
    t.same(await started(path(name), [fd]), { fd: null, environment: [], passedOn: false }, name);
  }
});

t.test("what was meant for another process is not taken", async (t) => {
  const path = join(folderOf(t), "wanted.sock");
  const { fd, environment } = await started(path, [bound(t, streamSocket, path)], "1");
  t.equal(fd, null);
  t.same(environment, []);
});

t.test("variables that make no sense count for nothing, and go", (t) => {
  const pid = String(process.pid);
  for (const given of [
    {},
    { LISTEN_PID: pid },
    { LISTEN_PID: pid, LISTEN_FDS: "-1" },
    { LISTEN_PID: pid, LISTEN_FDS: "1x" },
    { LISTEN_FDS: "1" },
    { LISTEN_PID: `${pid}0`, LISTEN_FDS: "1", LISTEN_PIDFDID: "7" },
  ]) {
    const environment = { ...given, OTHER: "1" };
    t.equal(inheritedListener("/nowhere", environment), undefined);
    t.same(environment, { OTHER: "1" });
  }
  t.end();
});
