import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import t, { type Test } from "tap";
import { Clone, until } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";

type Tool = "install-host" | "uninstall-host";

interface Run {
  readonly child: ReturnType<typeof startTool>;
  readonly ended: Promise<{ readonly code: number | undefined; readonly said: string }>;
}

function start(tool: Tool, root: string, { clone = repositoryRoot, build = false } = {}): Run {
  const child = startTool([join(clone, "tools", `${tool}.mjs`), `--root=${root}`, ...(build ? [] : ["--no-build"])]);
  return { child, ended: child.then(({ exitCode, stderr }) => ({ code: exitCode, said: stderr })) };
}

function startTool(args: readonly string[]) {
  return execa(process.execPath, args, {
    stdin: "ignore",
    stdout: "ignore",
    reject: false,
    stripFinalNewline: false,
    forceKillAfterDelay: false, // how long it takes to end is its own affair
  });
}

function newRoot(t: Test): string {
  const root = mkdtempSync("/dev/shm/pontoon-root-");
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

const library = "usr/local/lib/pontoon";
const bundlesOf = (root: string) =>
  existsSync(join(root, library)) ? readdirSync(join(root, library)).filter((name) => name.startsWith("bundle-")) : [];
const filesIn = (root: string) =>
  bundlesOf(root).reduce((sum, name) => sum + readdirSync(join(root, library, name), { recursive: true }).length, 0);

/** Every name below a folder, with what a link or a small file holds. */
function treeOf(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .map((name) => {
      const path = join(root, name);
      const stat = lstatSync(path);
      if (stat.isSymbolicLink()) return `${name} ${readlinkSync(path)}`;
      return `${name} ${stat.isFile() && stat.size < 10_000 ? readFileSync(path, "utf8") : ""}`;
    })
    .sort();
}

/** What is in one of two trees only; a few, since there may be thousands. */
function differences(one: readonly string[], other: readonly string[]): string[] {
  const [ones, others] = [new Set(one), new Set(other)];
  return [...one.filter((name) => !others.has(name)), ...other.filter((name) => !ones.has(name))].slice(0, 5);
}

function isComplete(t: Test, root: string): void {
  t.equal(bundlesOf(root).length, 1, "one bundle");
  t.ok(existsSync(join(root, library, "current", "bin", "pontoon")), "the link leads to it");
  t.notOk(
    readdirSync(root, { recursive: true, encoding: "utf8" }).some((name) => /\.(pontoon-new|new-\d+)$/.test(name)),
    "nothing half-made",
  );
}

t.test("two at once: the second changes nothing, and says who is at it", async (t) => {
  const root = newRoot(t);
  for (const state of ["nothing installed", "installed"])
    for (const tool of ["install-host", "uninstall-host"] as const) {
      const before = bundlesOf(root);
      const first = start("install-host", root);
      await until(() => bundlesOf(root).length > before.length, { everyMs: 1, what: "the first has begun its bundle" });
      first.child.kill("SIGSTOP");
      const { code, said } = await start(tool, root).ended;
      first.child.kill("SIGCONT");
      t.equal(code, 1, `${tool}, ${state}`);
      t.match(
        said,
        new RegExp(
          `^pontoon: install-host \\(pid ${first.child.pid}\\) is changing the installation in \\S+; try again when it has ended`,
        ),
      );
      t.equal((await first.ended).code, 0);
      isComplete(t, root);
    }
});

t.test("several from one clone at once, each to a place of its own: one waits for the other", async (t) => {
  const roots = Array.from({ length: 4 }, () => newRoot(t));
  const runs = await Promise.all(roots.map((root) => start("install-host", root).ended));
  t.same(
    runs.map(({ code, said }) => (code === 0 ? 0 : said)),
    [0, 0, 0, 0],
  );
  for (const root of roots) isComplete(t, root);
});

t.test("who has a lock is told of one that was let go of meanwhile, too", async (t) => {
  const { holderOf } = (await import(join(repositoryRoot, "tools", "lock.mjs"))) as {
    holderOf: (path: string) => string;
  };
  t.equal(holderOf(join(newRoot(t), "gone")), "another run");
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"] as const)
  t.test(`${signal} at any moment leaves what was there before`, async (t) => {
    const root = newRoot(t);
    for (let installed = 0; installed < 2; installed++) {
      const before = treeOf(root);
      const bundles = bundlesOf(root).length;
      for (const files of [1, 300, 600, 900, 1200]) {
        const had = filesIn(root);
        const { child, ended } = start("install-host", root);
        await until(() => bundlesOf(root).length > bundles && filesIn(root) >= had + Math.min(files, 10), {
          everyMs: 1,
          what: "it has begun",
        }).catch(() => undefined);
        await until(() => filesIn(root) >= had + files || child.exitCode !== null || child.signalCode !== null, {
          everyMs: 2,
          what: "it has come so far",
        });
        child.kill(signal);
        const { code, said } = await ended;
        if (signal === "SIGKILL") continue; // the next run makes up for it
        if (code === 0) break; // it was done already
        t.equal(code, 128 + constants.signals[signal]);
        t.match(said, `pontoon: interrupted (${signal}); everything is as it was before\n`);
        t.same(differences(treeOf(root), before), [], `after ${files} files`);
      }
      t.equal((await start("install-host", root).ended).code, 0);
      isComplete(t, root);
    }
    t.equal((await start("uninstall-host", root).ended).code, 0);
    t.same(
      treeOf(root).filter((name) => lstatSync(join(root, name.split(" ")[0]!)).isFile()),
      [],
    );
  });

t.test("what can be led elsewhere is not written to, nor removed", async (t) => {
  const plants: Record<string, (root: string, victim: string) => void> = {
    "another user's folder": (root) => chownSync(root, 64_001, 64_001),
    "a folder others may write": (root) => chmodSync(root, 0o777),
    "another user's folder below": (root) => {
      mkdirSync(join(root, "usr"));
      chownSync(join(root, "usr"), 64_001, 64_001);
    },
    "a link for the library": (root, victim) => {
      mkdirSync(join(root, "usr/local/lib"), { recursive: true });
      symlinkSync(victim, join(root, library));
    },
    "a link on the way to the configuration": (root, victim) => symlinkSync(victim, join(root, "etc")),
    "a link on the way to the commands": (root, victim) => symlinkSync(victim, join(root, "usr")),
  };
  for (const [name, plant] of Object.entries(plants)) {
    const [root, victim] = [newRoot(t), newRoot(t)];
    writeFileSync(join(victim, "precious"), "");
    plant(root, victim);
    const before = treeOf(root);
    for (const tool of ["install-host", "uninstall-host"] as const) {
      const { code, said } = await start(tool, root).ended;
      t.equal(code, 1, name);
      t.match(
        said,
        new RegExp(
          `^pontoon: --root ${root}: .*(belongs to user|others than its owner may write|is a link).*; choose a folder`,
        ),
      );
      t.same(treeOf(victim), ["precious "], `${name}: ${tool}`);
      t.same(differences(treeOf(root), before), []);
    }
  }
  const root = newRoot(t);
  mkdirSync(join(root, "etc/pontoon"), { recursive: true });
  const victim = join(root, "victim");
  writeFileSync(victim, "precious");
  symlinkSync(victim, join(root, "etc/pontoon/pontoon.yaml.pontoon-new"));
  t.equal((await start("install-host", root).ended).code, 0);
  t.equal(readFileSync(victim, "utf8"), "precious");
});

t.test("builds of one clone come one after the other, and end with who wanted them", async (t) => {
  const clone = Clone.make();
  t.teardown(() => clone.remove());
  for (const name of ["tsconfig.json", "tsconfig.build.json"])
    copyFileSync(join(repositoryRoot, name), join(clone.root, name));
  // Packages are shared, but for a compiler that can tell when two of it run at once.
  const packages = join(clone.root, "node_modules");
  const shared = realpathSync(packages);
  unlinkSync(packages);
  mkdirSync(join(packages, "typescript/bin"), { recursive: true });
  for (const name of readdirSync(shared))
    if (name !== "typescript") symlinkSync(join(shared, name), join(packages, name));
  const [building, mayEnd] = [join(clone.root, "building"), join(clone.root, "may-end")];
  const compiler = `const fs = require("node:fs");
    fs.writeFileSync(${JSON.stringify(building)}, String(process.pid), { flag: "wx" });
    setInterval(() => { if (fs.existsSync(${JSON.stringify(mayEnd)})) { fs.rmSync(${JSON.stringify(building)}); process.exit(); } }, 5);`;
  writeFileSync(join(packages, "typescript/bin/package.json"), "{}");
  writeFileSync(join(packages, "typescript/bin/tsc"), compiler);

  const interrupted = start("install-host", newRoot(t), { clone: clone.root, build: true });
  await until(() => existsSync(building) && readFileSync(building, "utf8") !== "", { what: "it builds" });
  const pid = Number(readFileSync(building, "utf8"));
  interrupted.child.kill("SIGTERM");
  t.equal((await interrupted.ended).code, 143);
  t.throws(() => process.kill(pid, 0), { code: "ESRCH" }, "the compiler does not go on alone");
  rmSync(building);

  const first = start("install-host", newRoot(t), { clone: clone.root, build: true });
  await until(() => existsSync(building), { what: "the first builds" });
  const second = start("install-host", newRoot(t), { clone: clone.root, build: true });
  const said = new Promise<string>((resolve) =>
    second.child.stderr.once("data", (words: Buffer) => resolve(words.toString())),
  );
  t.equal(await said, `pontoon: waiting until install-host (pid ${first.child.pid}) has finished building\n`);
  writeFileSync(mayEnd, "");
  for (const { ended } of [first, second]) {
    const { code, said } = await ended;
    t.equal(code, 0, said);
  }
  t.notOk(existsSync(join(clone.root, "dist", ".lock")));
});
