// `npm run test:one FILE`: builds, and runs one test file, whose TAP is shown as it comes. Lints nothing.
// FILE is its source, such as src/config.test.ts; where it makes hosts, root is needed.
import { relative, resolve } from "node:path";
import { requireProgram } from "./build.mjs";
import { refuse, requireDebianPackages, requirePlatform, requireRoot, root } from "./prepare.mjs";
import { Tally } from "./tally.mjs";
import { testPackages } from "./test-packages.mjs";

/** Seconds: none that a debugger would notice. */
const timeLimit = Number(process.env.PONTOON_TEST_TIME ?? 3600);

const [source = "", ...others] = process.argv.slice(2);
if (source === "" || others.length > 0) refuse("usage: npm run test:one FILE, such as src/config.test.ts", 2);

requirePlatform();
await requireProgram({ development: true });
// These import npm packages, which are there from here on.
const { readTap } = await import("./tap-results.mjs");
const { makesHosts, startTest, testFiles } = await import("./test-files.mjs");

const file = compiledOf(source);
if (makesHosts(file)) {
  requireRoot(`npm run test:one ${source}`);
  await requireDebianPackages(testPackages);
}
const child = startTest(file, { timeLimit, isShown: true });
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) process.on(signal, () => child.kill(signal));
const { stdout, exitCode, signal, timedOut } = await child;
const tally = new Tally();
tally.add(file.replace(/\.js$/, ""), readTap(stdout), { code: exitCode, signal, timedOut });
for (const failure of tally.failures) process.stdout.write(`FAILED ${failure}\n`);
process.stdout.write(`${tally.assertions} assertions in ${tally.passed + tally.failed} tests\n`);
process.stdout.write(`${tally.passed} passed, ${tally.failed} failed\n`);
process.exitCode = tally.failed > 0 ? 1 : 0;

/**
 * @param {string} name of a source file or a compiled one, from here or from the clone
 * @returns {string} the compiled one, relative to dist/
 */
function compiledOf(name) {
  const files = testFiles();
  const wanted = [resolve(name), resolve(root, name)].map((path) =>
    relative(root, path)
      .replace(/^dist\//, "")
      .replace(/(\.test)?(\.[jt]s)?$/, ".test.js"),
  );
  const found = files.find((file) => wanted.includes(file));
  if (found !== undefined) return found;
  const alike = files.filter((file) => file.includes(name.replace(/(\.test)?(\.[jt]s)?$/, ""))).slice(0, 5);
  const hint =
    alike.length > 0
      ? `did you mean ${alike.join(", ").replaceAll(".js", ".ts")}?`
      : "name its source, such as src/config.test.ts";
  return refuse(`${name}: no such test file; ${hint}`, 2);
}
