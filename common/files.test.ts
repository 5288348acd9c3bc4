import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { createFile, openRegularFile, readRegularFile, readRegularFileSync, replaceFile } from "./files.js";

const follow = { followLink: true };
const stay = { followLink: false };

function scratch(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Everything a path can lead to that is not a regular file, and what it is called. */
async function oddFiles(t: Test): Promise<[path: string, what: RegExp][]> {
  const folder = scratch(t);
  const at = (name: string) => join(folder, name);
  spawnSync("mkfifo", [at("fifo")]);
  mkdirSync(at("folder"));
  const server = createServer().listen(at("socket"));
  await once(server, "listening");
  t.teardown(() => server.close());
  const links = ["fifo", "folder", "socket", "/dev/zero"].map(
    (target) => [target, at(`to-${target.slice(-4)}`)] as const,
  );
  for (const [target, path] of links) symlinkSync(target, path);
  const kinds = [
    [at("fifo"), /a fifo/],
    [at("folder"), /a folder/],
    [at("socket"), /a socket/],
    ["/dev/zero", /a device/],
    ["/dev/null", /a device/],
  ] as [string, RegExp][];
  return [
    ...kinds,
    ...links.map(
      ([target, path]) => [path, target === "/dev/zero" ? /a device/ : new RegExp(`a ${target}`)] as [string, RegExp],
    ),
  ];
}

t.test("what is not a regular file is refused, and nobody is waited for", async (t) => {
  for (const [path, what] of await oddFiles(t)) {
    await t.rejects(readRegularFile(path, 100, follow), { code: "FILE_UNFIT", subject: path, message: what }, path);
    t.throws(() => readRegularFileSync(path, 100, follow), { code: "FILE_UNFIT", message: what }, path);
    for (const flags of [constants.O_RDONLY, constants.O_RDWR])
      t.throws(() => openRegularFile(path, flags, follow), { code: "FILE_UNFIT" }, path);
  }
});

t.test("a link is followed only where it may be one", async (t) => {
  const folder = scratch(t);
  writeFileSync(join(folder, "file"), "text");
  for (const [name, target] of [
    ["link", "file"],
    ["loop", "loop"],
    ["dangling", "none"],
  ] as const)
    symlinkSync(target, join(folder, name));
  t.same(await readRegularFile(join(folder, "link"), 100, follow), { text: "text", isWhole: true });
  await t.rejects(readRegularFile(join(folder, "loop"), 100, follow), { code: "ELOOP" });
  await t.rejects(readRegularFile(join(folder, "dangling"), 100, follow), { code: "ENOENT" });
  for (const name of ["link", "loop", "dangling"]) {
    await t.rejects(readRegularFile(join(folder, name), 100, stay), { code: "FILE_UNFIT", message: /a symbolic link/ });
    t.throws(() => openRegularFile(join(folder, name), constants.O_RDWR, stay), { code: "FILE_UNFIT" });
  }
});

t.test("no more is read than was asked for, and it is told", async (t) => {
  const path = join(scratch(t), "file");
  const cases: [length: number, isWhole: boolean][] = [
    [0, true],
    [9, true],
    [10, true],
    [11, false],
    [1_000_000, false],
  ];
  for (const [length, isWhole] of cases) {
    writeFileSync(path, "x".repeat(length));
    const expected = { text: "x".repeat(Math.min(length, 10)), isWhole };
    t.same(await readRegularFile(path, 10, stay), expected);
    t.same(readRegularFileSync(path, 10, stay), expected);
  }
  spawnSync("truncate", ["-s", "1T", path]);
  t.equal((await readRegularFile(path, 10, stay)).text.length, 10, "a file that only seems to have a terabyte");
});

t.test("a file that grows all the time is read as it was", async (t) => {
  const path = join(scratch(t), "file");
  writeFileSync(path, "x");
  const writer = spawn("sh", ["-c", 'while :; do printf %01024d 0 >> "$0"; done', path], { stdio: "ignore" });
  t.teardown(() => writer.kill("SIGKILL"));
  for (let round = 0; round < 50; round++) t.ok((await readRegularFile(path, 1000, stay)).text.length <= 1000);
});

t.test("every descriptor is closed again, whatever comes of it", async (t) => {
  const odd = await oddFiles(t);
  const path = join(scratch(t), "file");
  writeFileSync(path, "x");
  const open = () => readdirSync("/proc/self/fd").length;
  const before = open();
  for (let round = 0; round < 20; round++) {
    for (const [path] of odd) {
      await readRegularFile(path, 1, follow).catch(() => undefined);
      t.throws(() => readRegularFileSync(path, 1, follow));
    }
    await readRegularFile(path, 1, stay);
    readRegularFileSync(path, 1, stay);
  }
  t.equal(open(), before);
});

t.test("a new file takes the place of whatever is there, and never its content", (t) => {
  const folder = scratch(t);
  const victim = join(folder, "victim");
  const make = (path: string) => closeSync(createFile(path));
  for (const [name, work] of [
    ["created", make],
    ["replaced", (path: string) => replaceFile(path, "new")],
  ] as const) {
    writeFileSync(victim, "precious");
    const path = join(folder, name);
    for (const plant of [
      () => undefined,
      () => symlinkSync(victim, path),
      () => symlinkSync("loop", path),
      () => spawnSync("mkfifo", [path]),
      () => writeFileSync(path, "old", { mode: 0o666 }),
    ]) {
      rmSync(path, { force: true });
      plant();
      symlinkSync(victim, `${path}.new`);
      work(path);
      t.ok(lstatSync(path).isFile(), name);
      t.equal(lstatSync(path).mode & 0o777, 0o600);
      t.equal(readFileSync(victim, "utf8"), "precious");
      if (name === "created") t.equal(readlinkSync(`${path}.new`), victim);
      rmSync(`${path}.new`, { force: true });
    }
  }
  t.equal(readFileSync(join(folder, "replaced"), "utf8"), "new");
  t.end();
});
