// `sudo npm test [-- FILTER…]`: from a fresh clone to every test, ending with `N passed, N failed`.
// Without root the tests that need it are left out, and said to be.
import { cpus } from "node:os";
import { requireProgram } from "./build.mjs";
import { newestLts, nodeOf } from "./node-versions.mjs";
import { requireDebianPackages, requirePlatform, requireRoot, root, say } from "./prepare.mjs";
import { Tally } from "./tally.mjs";
import { testPackages } from "./test-packages.mjs";

/** @typedef {{file: string, node?: readonly string[], where?: string}} Job a test file, and the Node it is run on */

/** Files that want the whole machine, one after the other once all others are done. */
const alone = /cpu-starvation/;
/** Seconds one test file may take; several run at once on a small machine. */
const timeLimit = Number(process.env.PONTOON_TEST_TIME ?? 900);
/** The command that runs a test file: this very Node, or an emulated one. */
const ownNode = process.env.PONTOON_TEST_NODE?.split(" ") ?? [process.execPath];
const tellingOfNode = /^linux\/|^integration\/(life\/privileges|names\/names)\./;
const unitOnly = process.argv.includes("--unit");
const filters = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const unknown = process.argv.slice(2).find((word) => word.startsWith("-") && word !== "--" && word !== "--unit");
if (unknown !== undefined) {
  say(`${unknown}: not an option of this; known: --unit, and words that paths of test files hold`);
  process.exit(2);
}

requirePlatform();
if (!unitOnly) {
  requireRoot("npm test");
  await requireDebianPackages(testPackages);
}
await requireProgram({ development: true });
// These import npm packages, which are there from here on.
const { execa } = await import("execa");
const { readTap } = await import("./tap-results.mjs");
const { makesHosts, startTest, testFiles } = await import("./test-files.mjs");

const files = testFiles()
  .filter((name) => !unitOnly || !makesHosts(name))
  .filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter)));

const tally = new Tally();
/** @type {Set<{kill(signal: NodeJS.Signals): unknown}>} */
const running = new Set();
/** @type {Job[]} */
let queue = [];
let interrupted = false;
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"]))
  process.on(signal, () => {
    interrupted = true;
    queue = [];
    for (const child of running) child.kill(signal);
  });

const isWhole = filters.length === 0;
if (isWhole) for (const name of ["lint", "format:check", "typecheck"]) await runScript(name);
// Those that make hosts take longest: begun first, they do not keep the rest waiting at the end.
const jobs = [
  ...files.filter((file) => !alone.test(file)).map((file) => ({ file, node: ownNode })),
  ...(isWhole && !unitOnly ? await onNewestLts() : []),
].sort((one, other) => Number(makesHosts(other.file)) - Number(makesHosts(one.file)));
if (!interrupted) queue = jobs;

// One more than there are processors, since tests that make hosts wait most of their time.
await Promise.all(Array.from({ length: cpus().length + 1 }, worker));
for (const file of files.filter((name) => alone.test(name))) if (!interrupted) await runFile({ file, node: ownNode });
for (const failure of tally.failures) process.stdout.write(`FAILED ${failure}\n`);
if (tally.skipped.length > 0) say(`${tally.skipped.length} skipped: ${tally.skipped.join("; ")}`);
process.stdout.write(`${tally.assertions} assertions in ${tally.passed + tally.failed} tests\n`);
process.stdout.write(`${tally.passed} passed, ${tally.failed} failed\n`);
process.exit(tally.failed > 0 || interrupted ? 1 : 0);

/**
 * Runs an npm script that looks at the sources; it counts as one test.
 * @param {string} name
 */
async function runScript(name) {
  if (interrupted) return;
  const child = execa("npm", ["run", "--silent", name], {
    cwd: root,
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    reject: false,
  });
  running.add(child);
  const { exitCode } = await child;
  running.delete(child);
  tally.count(`npm run ${name}`, exitCode === 0);
}

/**
 * What depends on Node's loop and threads, once more on the newest Node with long-term support; `npm run test:matrix` runs more.
 * @returns {Promise<Job[]>}
 */
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

/** @param {Job} job */
async function runFile({ file, node, where = "" }) {
  const child = startTest(file, { node, timeLimit });
  running.add(child);
  const { stdout, all, exitCode, signal, timedOut, durationMs } = await child;
  running.delete(child);
  const name = file.replace(/\.js$/, "") + where;
  const ok = tally.add(name, readTap(stdout), { code: exitCode, signal, timedOut });
  process.stdout.write(`${ok ? "ok  " : "FAIL"} ${name} (${(durationMs / 1000).toFixed(1)} s)\n`);
  if (!ok) process.stdout.write(all.replaceAll(/^/gm, "    ") + "\n");
}
