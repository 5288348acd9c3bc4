// `sudo npm test [-- FILTER…]`: from a fresh clone to every test, ending with `N passed, N failed`.
// Without root the tests that need it are left out, and said to be.
import { spawn, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { cpus } from "node:os";
import { join, relative } from "node:path";
import { requireShim } from "./build-shim.mjs";
import { requireBuild, requireDebianPackages, requireNodeModules, requirePlatform, requireRoot, root, say } from "./prepare.mjs";
import { Tally } from "./tally.mjs";

/** Files that want the whole machine, one after the other once all others are done. */
const alone = /starved/;
/** Seconds one test file may take; several run at once on a small machine. */
const timeLimit = 240;
const unitOnly = process.argv.includes("--unit");
const filters = process.argv.slice(2).filter((word) => !word.startsWith("--"));

requirePlatform();
if (!unitOnly) {
  requireRoot("npm test");
  await requireDebianPackages([
    { command: "nft", package: "nftables" },
    { command: "ip", package: "iproute2" },
    { command: "iptables", package: "iptables" },
    { command: "dockerd", package: "docker.io" },
    { command: "dig", package: "bind9-dnsutils" },
    { command: "busybox", package: "busybox-static" },
    { command: "nsenter", package: "util-linux" },
    { command: "ps", package: "procps" },
    { command: "rootlesskit", package: "rootlesskit" },
    { command: "slirp4netns", package: "slirp4netns" },
    { command: "newuidmap", package: "uidmap" },
    { command: "openssl", package: "openssl" },
    { command: "systemd-analyze", package: "systemd" },
    { command: "gcc", package: "gcc" },
    { command: "musl-gcc", package: "musl-tools" },
  ]);
}
await requireNodeModules({ development: true });
await requireBuild("tsconfig.json");
requireShim();

const lint = spawnSync(process.execPath, [join(root, "node_modules", "eslint", "bin", "eslint.js"), ".", "--max-warnings", "0"], {
  cwd: root,
  stdio: "inherit",
});

const files = readdirSync(join(root, "dist"), { recursive: true })
  .filter((name) => name.endsWith(".test.js"))
  .filter((name) => !unitOnly || !name.startsWith("integration"))
  .filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter)))
  .sort();

const tally = new Tally();
if (filters.length === 0) tally.count("lint", lint.status === 0);
// Those that make hosts take longest: begun first, they do not keep the rest waiting at the end.
const makesHosts = (file) => file.startsWith("integration");
const queue = files.filter((file) => !alone.test(file)).sort((one, other) => Number(makesHosts(other)) - Number(makesHosts(one)));
const last = files.filter((file) => alone.test(file));
let interrupted = false;
const running = new Set();
for (const signal of ["SIGINT", "SIGTERM"])
  process.on(signal, () => {
    interrupted = true;
    queue.length = 0;
    for (const child of running) child.kill(signal);
  });

// One more than there are processors, since tests that make hosts wait most of their time.
await Promise.all(Array.from({ length: cpus().length + 1 }, worker));
for (const file of last) if (!interrupted) await runFile(file);
for (const failure of tally.failures) process.stdout.write(`FAILED ${failure}\n`);
if (tally.skipped > 0) say(`${tally.skipped} skipped: ${tally.skipReasons.join("; ")}`);
process.stdout.write(`${tally.passed} passed, ${tally.failed} failed\n`);
process.exit(tally.failed > 0 || interrupted ? 1 : 0);

async function worker() {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file);
}

/** Runs one test file as a process of its own; tap prints TAP when run by plain node. */
function runFile(file) {
  return new Promise((resolve) => {
    const started = Date.now();
    const child = spawn(process.execPath, ["--enable-source-maps", join(root, "dist", file)], {
      cwd: root,
      env: { ...process.env, TAP: "1", TAP_TIMEOUT: String(timeLimit) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(child);
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("close", (code, signal) => {
      running.delete(child);
      const name = relative("", file).replace(/\.js$/, "");
      const ok = tally.read(name, output, code, signal);
      process.stdout.write(`${ok ? "ok  " : "FAIL"} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
      if (!ok) process.stdout.write(output.replaceAll(/^/gm, "    ") + "\n");
      resolve();
    });
  });
}
