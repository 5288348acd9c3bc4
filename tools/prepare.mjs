// What every command of a fresh clone needs before the built program can run: root, packages, a build.
// Uses nothing but Node itself, since npm packages may not be installed yet.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync, mkdirSync, readdirSync } from "node:fs";
import { createHash } from "node:crypto";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** @type {readonly NodeJS.Signals[]} */
const endingSignals = ["SIGINT", "SIGTERM", "SIGHUP"];

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** @typedef {{command: string, package: string}} WantedCommand a command, and the Debian package that brings it */

/**
 * Prints one line and ends the process.
 * @param {string} message
 * @returns {never}
 */
export function refuse(message, exitCode = 1) {
  process.stderr.write(`pontoon: ${message}\n`);
  process.exit(exitCode);
}

/** @param {string} message */
export function say(message) {
  process.stderr.write(`pontoon: ${message}\n`);
}

/** Refuses on anything but Linux with Node 20 or later. */
export function requirePlatform() {
  if (process.platform !== "linux") refuse("pontoon runs on Linux only; run it on the Docker host itself");
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) refuse(`Node ${process.versions.node} is too old; install Node 20 or later`);
}

/**
 * Refuses unless the process is root.
 * @param {string} command what to run as root
 */
export function requireRoot(command) {
  if (process.getuid?.() !== 0) refuse(`root is needed to work with network namespaces; run: sudo ${command}`);
}

/**
 * Installs the Debian packages whose command is missing, and says so before it does.
 * @param {readonly WantedCommand[]} wanted
 */
export async function requireDebianPackages(wanted) {
  const missing = wanted.filter((entry) => !onPath(entry.command));
  if (missing.length === 0) return;
  const names = [...new Set(missing.map((entry) => entry.package))];
  const remedy = `apt-get install ${names.join(" ")}`;
  if (process.env.PONTOON_NO_APT === "1")
    refuse(`${names.join(", ")} missing and PONTOON_NO_APT=1 forbids installing; run: ${remedy}`);
  if (!onPath("apt-get"))
    refuse(`${names.join(", ")} missing and there is no apt-get here; install the equivalent packages by hand`);
  const doing = `installing Debian packages: ${names.join(" ")}`;
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = ["-o", "DPkg::Lock::Timeout=120", "install", "-y", "-q", "--no-install-recommends", ...names];
  if ((await quietly(doing, "apt-get", install, env)).ok) return;
  await quietly("refreshing the list of Debian packages", "apt-get", ["-q", "update"], env);
  const second = await quietly(doing, "apt-get", install, env);
  if (!second.ok) refuse(`could not install ${names.join(", ")}: ${lastLine(second.output)}; run: ${remedy}`);
}

/**
 * Installs npm packages from the lock file, unless the same lock file was installed before.
 * @param {{development: boolean}} options whether those that only tests need are wanted, too
 */
export async function requireNodeModules({ development }) {
  const lock = readFileSync(join(root, "package-lock.json"));
  const wanted = createHash("sha256").update(lock).digest("hex");
  const stamp = join(root, "node_modules", ".pontoon-installed");
  const have = existsSync(stamp) ? readFileSync(stamp, "utf8").split("\n") : [];
  if (have[0] === wanted && (have[1] === "all" || !development)) return;
  const doing = "installing npm packages from package-lock.json";
  const result = await quietly(doing, "npm", ["ci", "--ignore-scripts", ...(development ? [] : ["--omit=dev"])]);
  if (!result.ok) refuse(`npm ci failed: ${npmReason(result.output)}; run it by hand in ${root} to see why`);
  writeFileSync(stamp, `${wanted}\n${development ? "all" : "production"}\n`);
}

/**
 * Compiles TypeScript into dist/ when a source is newer than the last build.
 * @param {string} project its file, in the clone
 */
export async function requireBuild(project) {
  const stamp = buildStamp(project);
  const folders = foldersOf(root, project);
  const files = ["package.json", "tsconfig.json", project].map((name) => join(root, name));
  const newest = Math.max(
    ...files.map((file) => statSync(file).mtimeMs),
    ...folders.map((name) => newestSource(join(root, name))),
  );
  if (existsSync(stamp) && statSync(stamp).mtimeMs > newest) return;
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const result = await quietly("building", process.execPath, [tsc, "-p", join(root, project)]);
  if (!result.ok) refuse(`the build failed:\n${result.output}`);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, "");
}

/**
 * The folders of sources that a project is made of.
 * @param {string} clone
 * @param {string} project tsconfig.json: all; tsconfig.build.json: the programs alone
 * @returns {string[]}
 */
export function foldersOf(clone, project) {
  /** @type {{include: string[]}} */
  const { include } = JSON.parse(readFileSync(join(clone, project), "utf8"));
  return include;
}

/**
 * The file whose time says when a project was built last.
 * @param {string} project
 */
export function buildStamp(project) {
  return join(root, "dist", `.built-${project.replaceAll(/[^a-z]/g, "-")}`);
}

/** @param {string} folder */
function newestSource(folder) {
  if (!existsSync(folder)) return 0;
  const times = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => statSync(join(parentOf(entry), entry.name)).mtimeMs);
  return Math.max(0, ...times, statSync(folder).mtimeMs);
}

/**
 * The folder an entry was read from. Node before 20.12 calls it otherwise.
 * @param {import("node:fs").Dirent & {path?: string}} entry
 */
export function parentOf(entry) {
  return entry.parentPath ?? entry.path;
}

/** @param {string} command */
function onPath(command) {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"].filter(Boolean);
  return folders.some((folder) => existsSync(join(folder, command)));
}

/**
 * Runs a command, saying what is being done, and on a terminal for how long; its output is kept for the error message.
 * A signal that ends this process ends the command first: it must not go on when what is locked for it is not any more.
 * @param {string} doing
 * @param {string} command
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<{ok: boolean, output: string}>}
 */
export function quietly(doing, command, args, env = process.env) {
  const started = Date.now();
  const line = (/** @type {string} */ end) =>
    process.stderr.write(`\rpontoon: ${doing} … ${Math.round((Date.now() - started) / 1000)} s${end}`);
  if (!process.stderr.isTTY) say(doing);
  const ticking = process.stderr.isTTY ? setInterval(() => line(""), 1000) : undefined;
  return new Promise((resolve) => {
    let output = "";
    const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    /** @type {NodeJS.Signals | undefined} */
    let endedBy;
    const onSignal = (/** @type {NodeJS.Signals} */ signal) => child.kill((endedBy = signal));
    for (const signal of endingSignals) process.on(signal, onSignal);
    const end = (/** @type {boolean} */ ok) => {
      clearInterval(ticking);
      if (process.stderr.isTTY) line("\n");
      for (const signal of endingSignals) process.off(signal, onSignal);
      if (endedBy !== undefined) process.exit(128 + constants.signals[endedBy]);
      resolve({ ok, output });
    };
    child.on("error", (error) => {
      output += error.message;
      end(false);
    });
    child.on("close", (code) => end(code === 0));
  });
}

/**
 * The code of a failed system call, such as ENOENT.
 * @param {unknown} error
 */
export function codeOf(error) {
  return /** @type {NodeJS.ErrnoException} */ (error).code;
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * What npm says is wrong. It stands before what it says of its cause, of proxies and of its log.
 * @param {string} output
 */
export function npmReason(output) {
  const said = output.split("\n").flatMap((line) => /^npm (?:error|ERR!) (\S.*)$/.exec(line)?.[1] ?? []);
  return said.find((line) => !/^(code|errno|syscall|path|dest) /.test(line)) ?? lastLine(output);
}

/** @param {string} output */
export function lastLine(output) {
  return (
    output
      .trim()
      .split("\n")
      .findLast((line) => line.trim() !== "") ?? "no output"
  );
}
