import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { atOnce } from "./pieces.js";
import {
  aboutProcess,
  argumentsOf,
  commandOf,
  eachLine,
  fieldsOf,
  namesIn,
  namespaceOf,
  namespacePath,
  processes,
  readProcFile,
} from "./proc.js";

function scratch(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A process that has begun, and stays until it is killed. */
async function started(t: Test, argv0: string, words: readonly string[]): Promise<ChildProcess & { pid: number }> {
  const child = spawn("/bin/sh", ["-c", "echo; read line", ...words], { argv0, stdio: ["pipe", "pipe", "ignore"] });
  t.teardown(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child as ChildProcess & { pid: number };
}

const openHere = () => readdirSync("/proc/self/fd").length;

t.test("so much of a file is read, and whether that is all of it is told", (t) => {
  const path = join(scratch(t), "file");
  const before = openHere();
  for (const [length, isWhole] of [
    [0, true],
    [9, true],
    [10, true],
    [11, false],
    [1_000_000, false],
  ] as const) {
    writeFileSync(path, "x".repeat(length));
    t.same(readProcFile(path, 10), { text: "x".repeat(Math.min(length, 10)), isWhole });
  }
  const whole = readProcFile("/proc/self/status", 1 << 20);
  t.match(whole, { text: /^Name:[^]*Pid:/, isWhole: true }, "a file without a size");
  t.throws(() => readProcFile(join(path, "gone"), 10), { code: "ENOTDIR" });
  t.equal(openHere(), before);
  t.end();
});

t.test("lines are read without the headline, and a line without an end is cut", (t) => {
  const path = join(scratch(t), "table");
  const read = (text: string) => {
    writeFileSync(path, text);
    const lines: string[] = [];
    atOnce(eachLine(path, (line) => lines.push(line)));
    return lines;
  };
  t.same(read(""), []);
  t.same(read("headline\n"), []);
  t.same(read("headline\none\n\ntwo"), ["one", "", "two"]);
  const many = Array.from({ length: 20_000 }, (_, index) => `line ${index}`);
  t.same(read(`headline\n${many.join("\n")}\n`), many, "lines that lie across two pieces");
  const [endless, after] = read(`headline\n${"x".repeat(10_000_000)}\nafter\n`);
  t.ok(endless!.length <= 2 * (64 << 10), "not kept in memory");
  t.equal(after, "after");
  const before = openHere();
  const left = eachLine(path, () => undefined);
  left.next();
  left.return();
  t.equal(openHere(), before, "closed when nobody reads on");
  t.throws(() => atOnce(eachLine(join(path, "gone"), () => undefined)), { code: "ENOTDIR" });
  t.end();
});

t.test("a process may call itself anything", (t) => {
  const own = readFileSync("/proc/self/comm");
  t.teardown(() => writeFileSync("/proc/self/comm", own));
  const names = ["a) R 1 (b", "x\nUid:\t0\t0", "x\nState:\tZ", "\x1b[2J\r\x07", "Uid:\t0", "\\nUid:\t0", "a:b", "ü(x)"];
  for (const name of names) {
    writeFileSync("/proc/self/comm", name);
    t.equal(commandOf(process.pid), name, JSON.stringify(name));
    const fields = fieldsOf(aboutProcess(process.pid, "status")!);
    t.equal(fields.get("Uid")?.split("\t")[0], String(process.getuid!()));
    t.match(fields.get("State"), /^[RS] /);
    t.equal(fields.get("Pid"), String(process.pid));
  }
  writeFileSync("/proc/self/comm", Buffer.from("ff80", "hex"));
  t.equal(commandOf(process.pid), "\ufffd\ufffd", "not UTF-8");
  t.end();
});

t.test("words of a command line are parted by nothing but zeros", async (t) => {
  const words = ["a b", "", "x\ny", "\x1b[31m", "(", "--flag"];
  const { pid } = await started(t, "-odd\nname ", words);
  t.same(argumentsOf(pid), ["-odd\nname ", "-c", "echo; read line", ...words]);
  t.same(argumentsOf(pid, 7), ["-odd\nna"], "no more than is asked for");
  const long = await started(t, "sh", ["x".repeat(100_000)]);
  t.equal(argumentsOf(long.pid).at(-1)!.length, (16 << 10) - "sh\0-c\0echo; read line\0".length);
});

t.test("a process that ends is no error", async (t) => {
  const child = await started(t, "sh", []);
  const { pid } = child;
  t.ok(atOnce(processes()).includes(pid));
  t.ok([...namesIn(`/proc/${pid}/fd`)].includes("0"));
  const names = namesIn(`/proc/${pid}/fd`);
  names.next();
  child.kill("SIGKILL");
  await once(child, "exit");
  t.doesNotThrow(() => [...names], "while its folder is read");
  t.equal(aboutProcess(pid, "status"), undefined);
  t.equal(commandOf(pid), undefined);
  t.same(argumentsOf(pid), []);
  t.equal(namespaceOf(pid, "net"), undefined);
  t.same([...namesIn(`/proc/${pid}/fd`)], []);
  t.notOk(atOnce(processes()).includes(pid));
});

t.test("namespaces are told apart by their inodes", async (t) => {
  const { pid } = await started(t, "sh", []);
  for (const kind of ["mnt", "net", "pid"] as const) {
    t.type(namespaceOf("self", kind), "number");
    t.equal(namespaceOf(pid, kind), namespaceOf("self", kind), kind);
  }
  t.equal(namespacePath(4711, "net"), "/proc/4711/ns/net");
});
