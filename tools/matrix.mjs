// `sudo npm run test:matrix [-- node|docker|arm64…]`: the tests on other versions of Node and of Docker, and on another processor.
// What they need is made once, in the cache folder (node-versions.mjs). Ends with `N passed, N failed` over all that was run.
import { delimiter, dirname, join } from "node:path";
import { requireProgram } from "./build.mjs";
import { arm64Runs } from "./matrix/arm64.mjs";
import { inRoot, removeTemporary, requireDebianRoot } from "./matrix/debian-root.mjs";
import { nodeOf } from "./node-versions.mjs";
import { foldersOf, refuse, requirePlatform, requireRoot, root, say } from "./prepare.mjs";
import { countsOf } from "./tally.mjs";

/**
 * @typedef {object} Run
 * @property {string} name
 * @property {() => Promise<Prepared | {problem: string}>} prepare
 * @property {() => void} [done] called once it has ended
 * @property {boolean} [isRefusal] whether it is to be refused
 *
 * @typedef {{argv: readonly string[], env: NodeJS.ProcessEnv, problem?: undefined}} Prepared
 * @typedef {{passed: number, failed: number, failures: readonly string[]}} Counts
 */

/** What is run on each Node: all that knows Node's loop, its sockets or its threads. */
const onEachNode = [
  ...foldersOf(root, "tsconfig.build.json").map((folder) => `${folder}/`),
  ...["names/names", "takeovers/takeover", "ports/publish", "life/privileges"].map((name) => `integration/${name}`),
];
/** What is run on each Docker: tests with hosts, and those whose oracle is the suite's own nft. */
const onEachDocker = [
  "integration/",
  "linux/netlink",
  "src/names/takeovers/takeover-table",
  "src/names/takeovers/dns-redirect",
];
/** @type {Record<string, (filters: readonly string[]) => Iterable<Run>>} */
const kinds = { node: nodeRuns, docker: dockerRuns, arm64: arm64Runs };

const words = process.argv.slice(2).filter((word) => word !== "--");
const wanted = words.filter((word) => Object.hasOwn(kinds, word));
/** As for `npm test`: only test files whose path holds one of these. */
const filters = words.filter((word) => !wanted.includes(word));
if (filters.some((word) => word.startsWith("-")))
  refuse(`usage: npm run test:matrix [-- ${Object.keys(kinds).join("|")}…] [FILTER…]`);

requirePlatform();
requireRoot("npm run test:matrix");
await requireProgram({ development: true });
const { execa } = await import("execa"); // an npm package, which is there from here on

/** @type {ReturnType<typeof start> | undefined} */
let running;
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM"])
  process.on(signal, () => {
    interrupted = true;
    if (running?.pid !== undefined && running.exitCode === null) process.kill(-running.pid, "SIGTERM");
  });

/** @type {(Counts & {name: string, took: number})[]} */
const results = [];
for (const [kind, runs] of Object.entries(kinds))
  if (wanted.length === 0 || wanted.includes(kind))
    for (const run of runs(filters)) if (!interrupted) await perform(run);

for (const { name, passed, failed, failures, took } of results) {
  say(`${name}: ${passed} passed, ${failed} failed (${Math.round(took / 1000)} s)`);
  for (const failure of failures) process.stdout.write(`FAILED ${name}: ${failure}\n`);
}
const sum = (/** @type {"passed" | "failed"} */ key) => results.reduce((total, result) => total + result[key], 0);
process.stdout.write(`${sum("passed")} passed, ${sum("failed")} failed\n`);
process.exit(sum("failed") > 0 || interrupted ? 1 : 0);

/**
 * Each version of Node that pontoon is said to run on, on this system; then Debian's own packages, on theirs.
 * @param {readonly string[]} filters
 * @returns {Generator<Run>}
 */
function* nodeRuns(filters) {
  const files = filters.length > 0 ? filters : onEachNode;
  for (const major of [20, 22, 24, 26])
    yield {
      name: `Node ${major}`,
      async prepare() {
        const { binary, problem } = await nodeOf(major);
        if (problem !== undefined) return { problem };
        return {
          argv: [binary, ...testsOf(files)],
          env: { PATH: [dirname(binary), process.env.PATH].join(delimiter) },
        };
      },
    };
  for (const suite of ["bookworm", "trixie"])
    yield {
      name: `Node of Debian ${suite}`,
      prepare: () => inSuite(suite, { node: "" }, files),
      done: () => removeTemporary(suite),
      isRefusal: suite === "bookworm",
    };
}

/**
 * Every integration test on the Docker of later suites, with either hierarchy of control groups.
 * @param {readonly string[]} filters
 * @returns {Generator<Run>}
 */
function* dockerRuns(filters) {
  for (const suite of ["trixie", "sid"])
    for (const hierarchy of [1, 2])
      yield {
        name: `Docker of Debian ${suite}, cgroup v${hierarchy}`,
        prepare: () =>
          inSuite(suite, { hierarchy, node: process.execPath }, filters.length > 0 ? filters : onEachDocker),
        done: () => removeTemporary(suite),
      };
}

/**
 * @param {string} suite
 * @param {{node: string, hierarchy?: number}} options as for {@link inRoot}
 * @param {readonly string[]} files
 */
async function inSuite(suite, { node, hierarchy = 1 }, files) {
  const { folder, problem } = await requireDebianRoot(suite);
  if (problem !== undefined) return { problem };
  return { argv: inRoot(folder, { hierarchy, node, argv: ["node", ...testsOf(files)] }), env: { PONTOON_NO_APT: "1" } };
}

/** @param {readonly string[]} files */
function testsOf(files) {
  return [join(root, "tools", "test.mjs"), ...files];
}

/**
 * Runs one of the runs, shows what it prints, and counts its results.
 * @param {Run} run
 */
async function perform({ name, prepare, done, isRefusal = false }) {
  const started = Date.now();
  const prepared = await prepare();
  if (interrupted) return;
  if (prepared.problem !== undefined) {
    results.push({ name, passed: 0, failed: 1, failures: [prepared.problem], took: 0 });
    return say(`${name}: ${prepared.problem}`);
  }
  say(`${name} …`);
  const { output, code } = await show(prepared);
  done?.();
  const counted = isRefusal ? refusal(output, code) : countsOf(output, code);
  results.push({ name, took: Date.now() - started, ...counted });
}

/** @param {Prepared} prepared */
async function show(prepared) {
  running = start(prepared);
  const { all, exitCode, failed, shortMessage } = await running;
  return { output: exitCode === undefined && failed ? `${all}${shortMessage}` : all, code: exitCode };
}

/** @param {Prepared} prepared */
function start({ argv: [command = "", ...args], env }) {
  return execa(command, args, {
    cwd: root,
    env,
    stdin: "ignore",
    stdout: ["pipe", "inherit"],
    stderr: ["pipe", "inherit"],
    all: true,
    reject: false,
    stripFinalNewline: false,
    detached: true, // a process group of its own: what Ctrl-C means for it is decided here
  });
}

/**
 * A Node that is too old is refused with what to do.
 * @param {string} output
 * @param {number | undefined} code
 * @returns {Counts}
 */
function refusal(output, code) {
  const ok = code === 1 && /pontoon: Node [\d.]+ is too old; install Node 20 or later/.test(output);
  return ok
    ? { passed: 1, failed: 0, failures: [] }
    : { passed: 0, failed: 1, failures: ["a Node that is too old is not refused in a sentence"] };
}
