// `sudo npm test [-- FILTER…]`: from a fresh clone to every test, ending with `N passed, N failed`.
// Without root the tests that need it are left out, and said to be.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { requireProgram } from "./build.mjs";
import { newestLts, nodeOf } from "./node-versions.mjs";
import { requireDebianPackages, requirePlatform, requireRoot, root, say } from "./prepare.mjs";
import { Tally } from "./tally.mjs";

/** Files that want the whole machine, one after the other once all others are done. */
const alone = /cpu-starvation/;
/** Seconds one test file may take; several run at once on a small machine. */
const timeLimit = Number(process.env.PONTOON_TEST_TIME ?? 240);
/** The command that runs a test file: this very Node, or an emulated one. */
const ownNode = process.env.PONTOON_TEST_NODE?.split(" ") ?? [process.execPath];
const tellingOfNode = /^linux\/|^integration\/(life\/privileges|names\/names)\./;
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
await requireProgram({ development: true });

const files = readdirSync(join(root, "dist"), { recursive: true })
  .filter((name) => name.endsWith(".test.js") && existsSync(join(root, name.replace(/js$/, "ts"))))
  .filter((name) => !unitOnly || !name.startsWith("integration"))
  .filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter)))
  .sort();

const tally = new Tally();
const isWhole = filters.length === 0;
if (isWhole) tally.count("lint", lint());
// Those that make hosts take longest: begun first, they do not keep the rest waiting at the end.
const makesHosts = ({ file }) => file.startsWith("integration");
const queue = [
  ...files.filter((file) => !alone.test(file)).map((file) => ({ file, node: ownNode })),
  ...(isWhole && !unitOnly ? await onNewestLts() : []),
];
queue.sort((one, other) => Number(makesHosts(other)) - Number(makesHosts(one)));
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
for (const file of last) if (!interrupted) await runFile({ file, node: ownNode });
for (const failure of tally.failures) process.stdout.write(`FAILED ${failure}\n`);
if (tally.skipped > 0) say(`${tally.skipped} skipped: ${tally.skipReasons.join("; ")}`);
process.stdout.write(`${tally.passed} passed, ${tally.failed} failed\n`);
process.exit(tally.failed > 0 || interrupted ? 1 : 0);

function lint() {
  return (
    spawnSync(
      process.execPath,
      [join(root, "node_modules", "eslint", "bin", "eslint.js"), ".", "--max-warnings", "0"],
      { cwd: root, stdio: "inherit" },
    ).status === 0
  );
}

/** What depends on Node's loop and threads, once more on the newest Node with long-term support; `npm run test:matrix` runs more. */
async function onNewestLts() {
  if (process.versions.node.startsWith(`${newestLts}.`)) return [];
  const { binary, problem } = await nodeOf(newestLts);
  if (problem === undefined)
    return files
      .filter((file) => tellingOfNode.test(file))
      .map((file) => ({ file, node: [binary], where: ` on Node ${newestLts}` }));
  if (process.env.CI === undefined) say(`${problem}; its tests are left out`);
  else tally.fail(problem);
  return [];
}

async function worker() {
  for (let job = queue.shift(); job !== undefined; job = queue.shift()) await runFile(job);
}

/** Runs one test file as a process of its own; tap prints TAP when run by plain node. */
function runFile({ file, node, where = "" }) {
  return new Promise((resolve) => {
    const started = Date.now();
    const [command, ...args] = [...node, "--enable-source-maps", join(root, "dist", file)];
    const child = spawn(command, args, {
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
      const name = file.replace(/\.js$/, "") + where;
      const ok = tally.read(name, output, code, signal);
      process.stdout.write(`${ok ? "ok  " : "FAIL"} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`);
      if (!ok) process.stdout.write(output.replaceAll(/^/gm, "    ") + "\n");
      resolve();
    });
  });
}
