import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { FileLock } from "./file-lock.js";

t.test("a lock is held by one, and its file goes with it", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "x.lock");
  const lock = FileLock.take(path)!;
  t.ok(FileLock.isHeld(path));
  t.equal(FileLock.take(path), undefined);
  lock.release();
  t.throws(() => FileLock.isHeld(path), { code: "ENOENT" });
  t.end();
});

t.test("what was put in its place is neither followed, nor waited for, nor touched", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const victim = join(folder, "victim");
  writeFileSync(victim, "precious");
  const plants: [name: string, plant: (path: string) => unknown][] = [
    ["link", (path) => symlinkSync(victim, path)],
    ["dangling", (path) => symlinkSync(join(folder, "none"), path)],
    ["fifo", (path) => spawnSync("mkfifo", [path])],
    ["folder", (path) => mkdirSync(path)],
  ];
  for (const [name, plant] of plants) {
    const path = join(folder, name);
    plant(path);
    t.throws(
      () => FileLock.take(path),
      { code: "LOCK_UNFIT", subject: path, message: /is not a regular file, so it cannot be locked; remove it/ },
      name,
    );
  }
  const nowhere = join(folder, "none", "x.lock");
  t.throws(() => FileLock.take(nowhere), {
    code: "LOCK_UNFIT",
    subject: nowhere,
    message: /cannot be made \(ENOENT\); permit writing there, then start again$/,
  });
  t.throws(() => FileLock.isHeld(join(folder, "link")), { code: "ELOOP" });
  t.equal(readFileSync(victim, "utf8"), "precious");
  t.throws(() => readFileSync(join(folder, "none")), { code: "ENOENT" });
  t.end();
});
