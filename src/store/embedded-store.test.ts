import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import t, { type Test } from "tap";
import { EmbeddedStore } from "./embedded-store.js";
import { openEnvironment } from "./lmdb.js";
import type { Change, DamagedRecord } from "./store.js";

const storeFiles = ["store.mdb", "store.mdb-lock"];
const put = (key: string, value: unknown): Change => ({ kind: "network", key, value });

interface Scratch {
  readonly folder: string;
  readonly file: string;
  readonly damages: DamagedRecord[];
  /** Opens it as the next daemon would, when the last has ended. */
  readonly open: (folder?: string) => EmbeddedStore;
  readonly close: () => void;
}

function scratch(t: Test): Scratch {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  const damages: DamagedRecord[] = [];
  let running: EmbeddedStore | undefined;
  const close = () => void running?.close();
  t.teardown(() => {
    close();
    rmSync(folder, { recursive: true });
  });
  const open = (at = folder) => {
    close();
    running = new EmbeddedStore(at, (record) => damages.push(record));
    running.open();
    return running;
  };
  return { folder, file: join(folder, "store.mdb"), damages, open, close };
}

t.test("what was written is there for the next, by kind", (t) => {
  const { folder, open, damages } = scratch(t);
  const first = open();
  t.ok(first.hasLost);
  first.write([put("one", { a: [1, null, "ä\n"] }), put("two", 2), { kind: "publication", key: "one", value: false }]);
  t.same([...first.all("network")], [["one", { a: [1, null, "ä\n"] }], ["two", 2]]); // prettier-ignore
  const id = first.all("meta").get("id");
  t.match(id, /^[0-9a-f-]{36}$/);
  const second = open();
  t.notOk(second.hasLost);
  t.same([...second.all("publication")], [["one", false]]);
  t.same([...second.all("sandbox")], []);
  t.equal(second.all("meta").get("id"), id, "the store stays the same one");
  second.write([put("one", undefined), put("none", undefined), put("two", 3), put("three", "")]);
  t.same([...open().all("network")], [["three", ""], ["two", 3]]); // prettier-ignore
  t.same(damages, []);
  t.same(readdirSync(folder).sort(), storeFiles);
  t.end();
});

t.test("nothing is made before something is stored, and only root may look at it", (t) => {
  const { folder, open } = scratch(t);
  const inner = join(folder, "a", "b");
  const store = open(inner);
  store.write([]);
  t.same([...store.all("network")], []);
  t.throws(() => statSync(inner), { code: "ENOENT" });
  store.write([put("one", 1)]);
  const mode = (path: string) => statSync(path).mode & 0o777;
  t.equal(mode(inner), 0o700);
  for (const name of storeFiles) t.equal(mode(join(inner, name)), 0o600, name);
  chmodSync(inner, 0o755);
  open(inner).write([put("one", 2)]);
  t.equal(mode(inner), 0o755, "a folder that was there is left as it is");
  t.end();
});

t.test("all of a write or none", (t) => {
  const { open } = scratch(t);
  const store = open();
  store.write([put("one", 1)]);
  for (const change of [
    put("", 1),
    put("x".repeat(513), 1),
    put("a\0b", 1),
    put("\ud800", 1),
    put("two", () => 1),
    put("two", "x".repeat(256 * 1024)),
  ])
    t.throws(() => store.write([put("one", 2), change]), JSON.stringify(change));
  t.same([...store.all("network")], [["one", 1]]);
  store.write([put("x".repeat(512), 1), put("/../", 2), put("ä", 3)]);
  t.same([...open().all("network").keys()].sort(), ["/../", "one", "x".repeat(512), "ä"]);
  t.end();
});

t.test("a second process is refused", (t) => {
  const { folder, open } = scratch(t);
  const store = open();
  const other = new EmbeddedStore(folder, () => t.fail());
  other.open();
  store.write([put("one", 1)]);
  t.throws(() => other.write([put("one", 2)]), { code: "STORE_UNREADABLE", message: /has come while pontoon ran/ });
  const late = new EmbeddedStore(folder, () => t.fail());
  t.throws(() => late.open(), { code: "ALREADY_RUNNING", message: /another pontoon daemon .*another folder$/ });
  store.write([put("one", 3)]);
  void store.close();
  void store.close();
  late.open();
  t.same([...late.all("network")], [["one", 3]]);
  void late.close();
  t.end();
});

/** Puts text into a record behind a store's back. */
function plant(file: string, place: string, text: string): void {
  const environment = openEnvironment(file, { readOnly: false });
  environment.transactionSync(() => environment.putSync(place, text));
  void environment.close();
}

t.test("a record that cannot be read is told and kept aside", (t) => {
  const cases: [text: string, reason: string][] = [
    ["", "not JSON"],
    ["{", "not JSON"],
    ["null", "has no version"],
    ["[]", "has no version"],
    ['{"value":1}', "has no version"],
    ['{"version":"1","value":1}', "has a version that is no number"],
    ['{"version":0,"value":1}', "has a version that is no number"],
    ['{"version":1}', "has no value"],
  ];
  for (const [text, reason] of cases) {
    const { file, open, close, damages } = scratch(t);
    open().write([put("one", 1), put("two", 2)]);
    close();
    plant(file, "network/one", text);
    const store = open();
    t.same([...store.all("network")], [["two", 2]], text);
    t.ok(store.hasLost);
    const told = [{ kind: "network", key: "one", reason, text }];
    t.same(damages, told);
    const next = open();
    t.same([...next.all("network")], [["two", 2]]);
    t.same(damages, told, "once");
    t.notOk(next.hasLost);
    close();
    const after = openEnvironment(file, { readOnly: true });
    t.equal(after.get("damaged/network/one"), text);
    void after.close();
  }
  t.end();
});

t.test("a store of a newer pontoon is left alone", (t) => {
  const { file, open, close } = scratch(t);
  open().write([put("one", 1)]);
  close();
  plant(file, "network/two", '{"version":2,"value":1}');
  const before = readFileSync(file);
  const message = /newer pontoon \(version 2 of a network\); install that one again, or move/;
  t.throws(() => open(), { code: "STORE_UNREADABLE", subject: file, message });
  t.same(readFileSync(file), before);
  t.end();
});

t.test("what is no store is told, and left alone; nothing can be stored then", (t) => {
  const cases: [name: string, spoil: (file: string) => void, reason: RegExp][] = [
    [
      "garbage",
      (file) => writeFileSync(file, "garbage".repeat(10_000)),
      /is no store of pontoon's.*move the file away/,
    ],
    ["a few letters", (file) => writeFileSync(file, "x"), /is cut off in its first pages/],
    ["one page", (file) => truncateSync(file, 4096), /is cut off in its first pages/],
    [
      "its last page is missing",
      (file) => truncateSync(file, statSync(file).size - 1),
      /has \d+ bytes of \d+: it is cut/,
    ],
    ["zeros", (file) => writeFileSync(file, Buffer.alloc(statSync(file).size)), /is no store of pontoon's/],
    [
      "a newer lmdb",
      (file) => patch(file, 28, 3),
      /has version 3 of lmdb's files, this pontoon reads 2; install the newer/,
    ],
    ["a folder", (file) => (rmSync(file), mkdirSync(file)), /is not a regular file; move it away/],
    ["a link", (file) => (rmSync(file), symlinkSync("/etc/passwd", file)), /is not a regular file; move it away/],
  ];
  for (const [name, spoil, message] of cases) {
    const { file, open, close } = scratch(t);
    open().write(Array.from({ length: 50 }, (_, index) => put(`n${index}`, "x".repeat(index * 100))));
    close();
    spoil(file);
    const store = new EmbeddedStore(join(file, ".."), () => t.fail());
    t.throws(() => store.open(), { code: "STORE_UNREADABLE", subject: file, message }, name);
    t.throws(() => store.all("network"), { code: "STORE_UNREADABLE" });
    t.throws(() => store.write([put("one", 1)]), { code: "STORE_UNREADABLE" });
    rmSync(file, { recursive: true });
    const anew = open();
    t.ok(anew.hasLost);
    anew.write([put("one", 1)]);
    t.same([...open().all("network")], [["one", 1]], "moved away, it is made anew");
  }
  t.end();
});

function patch(file: string, at: number, byte: number): void {
  const bytes = readFileSync(file);
  bytes[at] = byte;
  writeFileSync(file, bytes);
}

t.test("a file nothing was ever written into is none", (t) => {
  for (const size of [0, 4096, 8192]) {
    const { file, open } = scratch(t);
    writeFileSync(file, Buffer.alloc(size));
    const store = open();
    t.ok(store.hasLost);
    store.write([put("one", 1)]);
    t.same([...open().all("network")], [["one", 1]], `${size} bytes`);
  }
  t.end();
});

t.test("a folder others may write is refused, and nothing is written through links", (t) => {
  const { folder, open } = scratch(t);
  const shared = join(folder, "shared");
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  t.throws(() => open(shared), { code: "STATE_DIR_UNFIT", message: /choose a folder that only root may write/ });
  chmodSync(shared, 0o700);
  const precious = join(folder, "precious");
  writeFileSync(precious, "precious");
  symlinkSync(precious, join(shared, "store.mdb-lock"));
  const store = open(shared);
  store.write([put("one", 1)]);
  t.equal(readFileSync(precious, "utf8"), "precious");
  chmodSync(shared, 0o777);
  t.throws(() => store.write([put("one", 2)]), { code: "STATE_DIR_UNFIT" });
  t.end();
});

t.test("programs that are started have nothing of it", (t) => {
  const { folder, open } = scratch(t);
  open().write([put("one", 1)]);
  const list = (fd: string) => spawnSync("ls", ["-l", fd], { encoding: "utf8" }).stdout;
  t.match(list("/proc/self/fd"), "/proc/");
  t.match(list(`/proc/${process.pid}/fd`), folder);
  t.notMatch(list("/proc/self/fd"), folder);
  open();
  t.notMatch(list("/proc/self/fd"), folder);
  t.end();
});

/** Writes pairs of records that belong together for ever, and tells which. */
const writer = (folder: string) => `
  import { writeSync } from "node:fs";
  import { EmbeddedStore } from ${JSON.stringify(new URL("./embedded-store.js", import.meta.url).href)};
  const store = new EmbeddedStore(${JSON.stringify(folder)}, () => process.exit(1));
  store.open();
  for (let count = store.all("network").get("count")?.count ?? 0; ; count++) {
    const value = { count: count + 1, filler: "x".repeat((count * 997) % 9000) };
    store.write([{ kind: "network", key: "count", value }, { kind: "endpoint", key: "count", value },
      { kind: "endpoint", key: "e" + (count % 40), value: count % 3 === 0 ? undefined : value }]);
    writeSync(1, count + 1 + "\\n");
  }`;

t.test("kill -9 at any moment takes nothing back that was written, and leaves no half", async (t) => {
  const { folder, open, close } = scratch(t);
  for (let round = 1; round <= 8; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", writer(folder)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise((resolve) => child.once("exit", (_, signal) => resolve(signal)));
    let told = 0;
    let lines = 0;
    for await (const line of createInterface(child.stdout)) {
      told = Number(line);
      if (++lines === 17 * round) child.kill("SIGKILL");
    }
    t.equal(await ended, "SIGKILL");
    const store = open();
    const stored = store.all("network").get("count") as { count: number };
    t.ok([told, told + 1].includes(stored.count), `told ${told}, stored ${stored.count}`);
    t.same(store.all("endpoint").get("count"), stored);
    close();
  }
});

// Small file systems of their own, which end with the process that mounted them.
const mounts =
  spawnSync("unshare", ["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", tmpdir()]).status === 0;
const noMounts = mounts && process.getuid?.() === 0 ? false : "may not mount, or not as the owner of /";

/** What happens on a file system of 256 KiB, after `script` was run there. */
function onSmallDisk(folder: string, script: string): string[] {
  const program = `
    import { existsSync, readdirSync, writeFileSync, rmSync } from "node:fs";
    import { execFileSync } from "node:child_process";
    import { EmbeddedStore } from ${JSON.stringify(new URL("./embedded-store.js", import.meta.url).href)};
    const folder = ${JSON.stringify(folder)};
    const put = (key, value) => ({ kind: "network", key, value });
    const open = () => { const store = new EmbeddedStore(folder, (record) => console.log("damage " + JSON.stringify(record))); store.open(); return store; };
    const attempt = (work) => { try { console.log(JSON.stringify(work() ?? "done")); } catch (error) { console.log(error.code + " " + error.message); } };
    const remount = (how) => execFileSync("mount", ["-o", "remount," + how, folder]);
    const fill = () => { try { writeFileSync(folder + "/ballast", Buffer.alloc(1 << 20)); } catch {} };
    const all = (store) => [...store.all("network")];
    ${script}`;
  const shell = 'mount -t tmpfs -o size=256k,mode=700 none "$0" && exec "$1" --input-type=module --eval "$2"';
  const { stdout, signal } = spawnSync(
    "unshare",
    ["--user", "--map-root-user", "--mount", "sh", "-c", shell, folder, process.execPath, program],
    { encoding: "utf8" },
  );
  return `${stdout}${signal ?? ""}`.trim().split("\n");
}

t.test("a full disk leaves what was written, and can be written again when there is room", { skip: noMounts }, (t) => {
  const { folder } = scratch(t);
  const lines = onSmallDisk(
    folder,
    `
    fill();
    let store = open();
    attempt(() => store.write([put("one", 0)]));
    attempt(() => readdirSync(folder).filter((name) => name === "store.mdb"));
    rmSync(folder + "/ballast");
    attempt(() => store.write([put("one", 1)]));
    fill();
    attempt(() => store.write([put("one", 2), put("two", "x".repeat(100_000))]));
    attempt(() => all(store));
    store.close();
    store = open();
    attempt(() => all(store));
    attempt(() => store.write([put("two", "x".repeat(100_000))]));
    rmSync(folder + "/ballast");
    attempt(() => store.write([put("two", 2)]));
    attempt(() => all(store));`,
  );
  t.match(lines[0], /^STORE_UNWRITABLE .*\(ENOSPC\).*make room/, "when nothing was made yet");
  t.same(lines.slice(1, 3), ["[]", '"done"']);
  t.match(lines[3], /^STORE_UNWRITABLE .*\(ENOSPC\).*make room/);
  t.same(lines.slice(4, 6), ['[["one",1]]', '[["one",1]]']);
  t.match(lines[6], /^STORE_UNWRITABLE .*\(ENOSPC\)/);
  t.same(lines.slice(7), ['"done"', '[["one",1],["two",2]]']);
  t.end();
});

t.test("wherever the disk becomes full while a store is made, nothing ends", { skip: noMounts }, (t) => {
  for (let pages = 0; pages <= 8; pages++) {
    const { folder } = scratch(t);
    const lines = onSmallDisk(
      folder,
      `
      writeFileSync(folder + "/room", Buffer.alloc(${pages} * 4096));
      fill();
      rmSync(folder + "/room");
      const store = open();
      try { store.write([put("one", 1)]); } catch (error) { if (error.code !== "STORE_UNWRITABLE") throw error; }
      const before = JSON.stringify(all(store));
      rmSync(folder + "/ballast");
      attempt(() => store.write([put("two", 2)]));
      attempt(() => before === "[]" || before === '[["one",1]]');
      attempt(() => all(store).at(-1));`,
    );
    t.same(lines, ['"done"', "true", '["two",2]'], `${pages} pages`);
  }
  t.end();
});

t.test("a disk that may only be read is read, and written again when it may be", { skip: noMounts }, (t) => {
  const { folder } = scratch(t);
  const lines = onSmallDisk(
    folder,
    `
    remount("ro");
    let store = open();
    attempt(() => store.write([put("one", 0)]));
    remount("rw");
    attempt(() => store.write([put("one", 1)]));
    store.close();
    remount("ro");
    store = open();
    attempt(() => [store.hasLost, ...all(store)]);
    attempt(() => store.write([put("one", 2)]));
    attempt(() => { store.putAside("network", "one", "it is odd"); return all(store); });
    remount("rw");
    attempt(() => store.write([put("two", 2)]));
    attempt(() => all(store));
    store.close();
    attempt(() => all(open()));`,
  );
  t.match(lines[0], /^STORE_UNWRITABLE .*\(EROFS\).*permit writing/);
  t.same(lines.slice(1, 3), ['"done"', '[false,["one",1]]']);
  t.match(lines[3], /^STORE_UNWRITABLE .*\(EROFS\).*permit writing/);
  t.match(lines[4], /^damage .*it is odd/);
  t.same(lines.slice(5), ['[["one",1]]', '"done"', '[["one",1],["two",2]]', '[["one",1],["two",2]]']);
  t.end();
});
