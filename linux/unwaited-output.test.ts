import { spawnSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { constants as os, tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { packetPair } from "./socket.js";
import { openPipe } from "./pipe.js";
import { AGAIN } from "./stream.js";
import { openTerminal } from "./testing/terminal.js";
import { UnwaitedOutput } from "./unwaited-output.js";

const line = Buffer.from(`${"x".repeat(99)}\n`);
const roomAtMost = 100_000; // lines; more than any kernel buffer holds

interface Other {
  /** Opened by somebody else, without O_NONBLOCK. */
  readonly fd: number;
  /** Reads some of what was written. */
  read(): number;
}

function fifo(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "fifo");
  spawnSync("mkfifo", [path]);
  return path;
}

function opened(t: Test, path: string, flags: number): number {
  const fd = openSync(path, flags);
  t.teardown(() => closeSync(fd));
  return fd;
}

const buffer = Buffer.alloc(64 * 1024);
/** What keeps a writer waiting when nobody reads. */
const slow: Record<string, (t: Test) => Other> = {
  "a fifo": (t) => {
    const fd = opened(t, fifo(t), constants.O_RDWR);
    return { fd, read: () => readSync(fd, buffer) };
  },
  "a pipe": (t) => {
    const pipe = openPipe(64 * 1024)!;
    t.teardown(() => [pipe.read, pipe.write].forEach((fd) => closeSync(fd)));
    return {
      fd: opened(t, `/proc/self/fd/${pipe.write}`, constants.O_WRONLY),
      read: () => readSync(pipe.read, buffer),
    };
  },
  "a socket": (t) => {
    const [fd, other] = packetPair();
    t.teardown(() => [fd, other].forEach((end) => closeSync(end)));
    return { fd, read: () => readSync(other, buffer) };
  },
  "a terminal": (t) => {
    const { master, terminal } = openTerminal();
    t.teardown(() => [master, terminal].forEach((fd) => closeSync(fd)));
    return { fd: terminal, read: () => readSync(master, buffer) };
  },
};

for (const [name, make] of Object.entries(slow))
  t.test(`${name} that nobody reads takes what it has room for, and more when it is read`, (t) => {
    const other = make(t);
    const { fd } = other;
    const isNonBlocking = () =>
      (Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!, 8) &
        constants.O_NONBLOCK) !==
      0;
    const before = isNonBlocking();
    const output = new UnwaitedOutput(fd);
    t.teardown(() => output.close());
    let taken = 0;
    let last = 0;
    while (taken < roomAtMost && (last = output.write(line)) > 0) taken++;
    t.ok(taken > 0);
    t.equal(last, AGAIN);
    while (output.write(line) === AGAIN) t.ok(other.read() > 0); // a terminal may make room by itself, a little later
    t.equal(isNonBlocking(), before, "what others share is as it was");
    t.end();
  });

t.test("a fifo without a reader is told, and written to once it has one", (t) => {
  const path = fifo(t);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const output = new UnwaitedOutput(opened(t, path, constants.O_WRONLY));
  t.teardown(() => output.close());
  closeSync(reader);
  t.equal(output.write(line), -os.errno.ENXIO, "it could not be opened");
  const second = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  t.equal(output.write(line), line.length);
  closeSync(second);
  t.equal(output.write(line), -os.errno.EPIPE, "the reader has gone");
  opened(t, path, constants.O_RDONLY | constants.O_NONBLOCK);
  t.equal(output.write(line), line.length);
  t.end();
});

t.test("a full disk and a terminal that is gone are told", (t) => {
  t.equal(new UnwaitedOutput(opened(t, "/dev/full", constants.O_WRONLY)).write(line), -os.errno.ENOSPC);
  t.equal(new UnwaitedOutput(opened(t, "/dev/null", constants.O_WRONLY)).write(line), line.length);
  const { master, terminal } = openTerminal();
  t.teardown(() => closeSync(terminal));
  const output = new UnwaitedOutput(terminal);
  closeSync(master);
  t.equal(output.write(line), -os.errno.EIO);
  t.end();
});
