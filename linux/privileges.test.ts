import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { privilegeIn } from "./privileges.js";

const uid = 64_001;

const from = (file: string) => JSON.stringify(new URL(file, import.meta.url).href);

/** Runs lines of a module as root in a process of their own, started as a daemon starts its servers unless told otherwise. */
function run(lines: string, { confined = true } = {}): { status: number | null; output: string } {
  const source = `
    import { readFileSync, readdirSync } from "node:fs";
    import { spawnSync } from "node:child_process";
    const { confinementProblem, dropPrivileges, raiseDescriptorLimit } = await import(${from("./privileges.js")});
    const { packetSocket, tcpSocket, udpSocket, bindSocket } = await import(${from("./socket.js")});
    const { insideNamespace } = await import(${from("./netns.js")});
    const statusOf = (task) => {
      const lines = readFileSync("/proc/self/task/" + task + "/status", "utf8").split("\\n");
      return Object.fromEntries(lines.map((line) => line.split(":\\t")));
    };
    const codeOf = (work) => { try { work(); return "allowed"; } catch (error) { return error.code; } };
    const print = (value) => process.stdout.write(JSON.stringify(value));
    ${lines}`;
  const starter = `
    import { spawnSync } from "node:child_process";
    const { confineWhatIsStarted } = await import(${from("./privileges.js")});
    confineWhatIsStarted();
    process.exit(spawnSync(process.execPath, ["--input-type=module", "--eval", process.argv[1]], { stdio: "inherit" }).status ?? 1);`;
  const args = confined ? [starter, source] : [source];
  const child = spawnSync(process.execPath, ["--input-type=module", "--eval", ...args], { encoding: "utf8" });
  return { status: child.status, output: child.stdout === "" ? child.stderr : child.stdout };
}

t.test(
  "what a server can write of any file is bounded, and it lives on",
  { skip: process.getuid!() === 0 ? false : "needs root" },
  (t) => {
    const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const log = JSON.stringify(join(folder, "log"));
    const { status, output } = run(`
    const fs = await import("node:fs");
    const log = fs.openSync(${log}, "w");
    const attempts = {
      line: () => { for (let count = 0; count < 3000; count++) fs.writeSync(log, "x".repeat(1023) + "\\n"); },
      far: () => fs.writeSync(log, "x", 1e9),
      longer: () => fs.ftruncateSync(log, 1e9),
      afresh: () => {
        fs.ftruncateSync(log, 0);
        fs.writeSync(log, Buffer.alloc(2 * 1024 * 1024), 0, 2 * 1024 * 1024, 0);
        fs.writeSync(log, "x", 2 * 1024 * 1024);
      },
    };
    dropPrivileges(${uid});
    print(Object.fromEntries(Object.entries(attempts).map(([name, attempt]) => [name, codeOf(attempt)])));`);
    t.equal(status, 0, output);
    t.same(JSON.parse(output), { line: "EFBIG", far: "EFBIG", longer: "EFBIG", afresh: "EFBIG" });
    t.equal(statSync(join(folder, "log")).size, 1024 * 1024);
    t.end();
  },
);

t.test(
  "privileges are dropped by every thread, for good",
  { skip: process.getuid!() === 0 ? false : "needs root" },
  (t) => {
    const { status, output } = run(`
    dropPrivileges(${uid});
    const threads = readdirSync("/proc/self/task").map(statusOf);
    const once = (field) => [...new Set(threads.map((thread) => thread[field]))];
    print({
      threads: threads.length, uid: once("Uid"), groups: once("Groups"),
      capabilities: once("CapEff"), permitted: once("CapPrm"), noNewPrivileges: once("NoNewPrivs"), seccomp: once("Seccomp"),
      root: codeOf(() => process.setuid(0)),
      unix: codeOf(packetSocket), tcp: codeOf(tcpSocket), listen: codeOf(() => bindSocket(udpSocket(), { ip: "127.0.0.1", port: 0 })),
      namespace: codeOf(() => insideNamespace("/proc/self/ns/net", undefined, () => 0)),
      process: spawnSync("true").error?.code,
    });`);
    t.equal(status, 0, output);
    const seen = JSON.parse(output) as { threads: number };
    t.ok(seen.threads > 1, "there are several");
    t.match(seen, {
      uid: { length: 1, 0: new RegExp(`^${uid}\\t${uid}\\t${uid}\\t${uid}$`) },
      capabilities: { length: 1, 0: "0000000000000000" },
      permitted: { length: 1, 0: "0000000000000000" },
      noNewPrivileges: { length: 1, 0: "1" },
      seccomp: { length: 1, 0: "2" },
      root: /^(EPERM|ERR_INVALID_STATE)$/, // the latter of a Node that does not try
      unix: "EAFNOSUPPORT",
      tcp: "allowed",
      listen: "EPERM",
      namespace: "EPERM",
      process: "EPERM",
    });
    t.end();
  },
);

t.test(
  "the bounding set of a process that was started as root is seen",
  { skip: process.getuid!() === 0 ? false : "needs root" },
  (t) => {
    t.match(run("print(confinementProblem())", { confined: false }).output, "could gain capabilities");
    t.equal(run('print(confinementProblem() ?? "none")').output, '"none"');
    t.end();
  },
);

t.test("a thread that has kept a privilege is found", (t) => {
  const status = (changed: Record<string, string> = {}) =>
    Object.entries({
      Name: "node",
      Uid: "7\t7\t7\t7",
      Gid: "7\t7\t7\t7",
      Groups: " ",
      CapPrm: "0000000000000000",
      CapEff: "0000000000000000",
      CapAmb: "0000000000000000",
      NoNewPrivs: "1",
      Seccomp: "2",
      ...changed,
    })
      .map(([name, value]) => `${name}:\t${value}`)
      .join("\n");
  t.equal(privilegeIn(status(), 7), undefined);
  for (const [name, value] of [
    ["Uid", "7\t7\t0\t7"],
    ["Gid", "0\t0\t0\t0"],
    ["Groups", "27 "],
    ["CapPrm", "0000000000003000"],
    ["NoNewPrivs", "0"],
    ["Seccomp", "0"],
  ] as const)
    t.equal(privilegeIn(status({ [name]: value }), 7), `${name}: ${value}`);
  t.equal(privilegeIn("Name:\tnode\n", 7), "Uid: not told");
  t.end();
});

t.test("raising the limit of descriptors lowers nothing", (t) => {
  const { status, output } = run(`
    const limit = () => Number(/open files\\s+(\\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))[1]);
    const before = limit();
    raiseDescriptorLimit();
    print([before, limit()]);`);
  t.equal(status, 0, output);
  const [before, after] = JSON.parse(output) as [number, number];
  t.ok(after >= before, `${before} became ${after}`);
  t.end();
});
