// The test files there are, what they need of the machine, and how one is run.
// Loaded once npm packages are installed: it imports them.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { root } from "./prepare.mjs";

/** Files that make hosts and drive the built programs: root only. */
export const makesHosts = (/** @type {string} */ file) => file.startsWith("integration");

/** Seconds that a file gets to end in: tap stops its tests when their time is up, but no process that does not end after them. */
const graceTime = 60;

/** Every compiled test file whose source is still there, relative to dist/. */
export function testFiles() {
  return readdirSync(join(root, "dist"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.js") && existsSync(join(root, name.replace(/js$/, "ts"))))
    .sort();
}

/**
 * Runs one test file as a process of its own; tap prints TAP when run by plain node.
 * @param {string} file relative to dist/
 * @param {object} options
 * @param {readonly string[]} [options.node] the command that runs it: this very Node, or another one
 * @param {number} options.timeLimit seconds it may take
 * @param {boolean} [options.isShown] whether its output is printed as it comes
 */
export function startTest(file, { node = [process.execPath], timeLimit, isShown = false }) {
  const [command = "", ...args] = [...node, "--enable-source-maps", join(root, "dist", file)];
  return execa(command, args, {
    cwd: root,
    env: { TAP: "1", TAP_TIMEOUT: String(timeLimit) },
    stdin: "ignore",
    stdout: isShown ? ["pipe", "inherit"] : "pipe",
    stderr: isShown ? ["pipe", "inherit"] : "pipe",
    all: true,
    reject: false,
    stripFinalNewline: false,
    timeout: (timeLimit + graceTime) * 1000,
    forceKillAfterDelay: graceTime * 1000, // it takes its hosts away first
  });
}
