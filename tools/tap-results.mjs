// Reads the TAP that one test file prints into the tests it holds.
import { Parser } from "tap-parser";

/**
 * @typedef {object} TestResult one block of `t.test` that makes assertions itself, or has no other block in it (then it fails by
 *   throwing); or what a file asserts outside of any
 * @property {string} name with those of the blocks it is in before it; empty: outside of any
 * @property {number} assertions how many it made itself
 * @property {readonly string[]} failures why it failed; empty when it and all blocks in it passed
 *
 * @typedef {object} FileResults
 * @property {readonly TestResult[]} tests
 * @property {readonly string[]} skipped what was left out, each with its reason
 * @property {string | undefined} problem why this cannot be all: the output ends too early, or its writer gave up
 *
 * @typedef {object} Block
 * @property {readonly string[]} path
 * @property {number} assertions
 * @property {string[]} failures of its own
 * @property {boolean} isUnfinished its output ends before its plan
 * @property {boolean} isSkipped it, or an assertion of its own, is left out
 * @property {Block[]} blocks those in it
 */

/** Characters. */
const detailsAtMost = 300;

/**
 * @param {string} output of one file, on stdout; what is not TAP is passed over
 * @returns {FileResults}
 */
export function readTap(output) {
  /** @type {string[]} */
  const skipped = [];
  const parser = new Parser();
  const file = follow(parser, [], skipped);
  parser.end(output);
  /** @type {TestResult[]} */
  const tests = [];
  const unfinished = collect(file, tests);
  const problem =
    typeof parser.bailedOut === "string"
      ? `bailed out: ${parser.bailedOut}`
      : unfinished && `its output ends too early${unfinished.path.length > 0 ? `, in ${nameOf(unfinished.path)}` : ""}`;
  return { tests, skipped, problem };
}

/**
 * Gathers what the parser finds in one block, and in those in it.
 * @param {Parser} parser
 * @param {readonly string[]} path
 * @param {string[]} skipped where to tell what was left out
 */
function follow(parser, path, skipped) {
  /** @type {Block} */
  const block = { path, assertions: 0, failures: [], isUnfinished: false, isSkipped: false, blocks: [] };
  parser.on("child", (/** @type {Parser} */ child) => block.blocks.push(follow(child, [...path, child.name], skipped)));
  parser.on("assert", (/** @type {import("tap-parser").Result} */ result) => {
    const { ok, name, skip, todo, tapError, diag, closingTestPoint } = result;
    const reason = skip || todo;
    const closed = closingTestPoint ? block.blocks.at(-1) : undefined;
    if (reason !== false) {
      skipped.push(`${nameOf([...path, name])}: ${reason === true ? "no reason" : reason}`);
      (closed ?? block).isSkipped = true;
    } else if (closed !== undefined) judge(closed, ok);
    else {
      block.assertions++;
      if (tapError !== null) block.failures.push(`${name} (${tapError})`);
      else if (!ok) block.failures.push(name + detailOf(diag));
    }
  });
  parser.on("complete", (/** @type {import("tap-parser").FinalResults} */ { failures, bailout }) => {
    const problems = failures.filter((failure) => !("ok" in failure)).map(({ tapError }) => tapError);
    block.isUnfinished = bailout !== false || problems.includes("no plan");
    block.failures.push(...problems.filter((problem) => problem !== "no plan").map(String));
  });
  return block;
}

/**
 * Where an assertion failed, and what was other than expected: a failure that comes once in a hundred runs has no other trace.
 * @param {unknown} diag
 */
function detailOf(diag) {
  const { at, diff } = /** @type {{at?: {lineNumber?: number}, diff?: string}} */ (diag ?? {});
  const line = at?.lineNumber === undefined ? [] : [`line ${at.lineNumber}`];
  // Behind two lines that say which sign is which.
  const changed = (diff ?? "")
    .split("\n")
    .slice(2)
    .filter((text) => /^[-+]/.test(text));
  const details = [...line, changed.join(" ")].filter((detail) => detail !== "").join(": ");
  return details === "" ? "" : ` (${details.length > detailsAtMost ? `${details.slice(0, detailsAtMost)}…` : details})`;
}

/**
 * A block may have failed though nothing in it did.
 * @param {Block} block
 * @param {boolean} ok the line that closes it
 */
function judge(block, ok) {
  if (!ok && !hasFailed(block)) block.failures.push("failed as a whole");
}

/**
 * @param {Block} block
 * @returns {boolean}
 */
function hasFailed(block) {
  return block.failures.length > 0 || block.blocks.some(hasFailed);
}

/**
 * Adds the tests of a block and of those in it, in the order in which they began. One that did not come to its end, without a
 * failure by then, has neither passed nor failed.
 * @param {Block} block
 * @param {TestResult[]} tests
 * @returns {Block | undefined} the innermost one that did not come to its end
 */
function collect(block, tests) {
  const { path, assertions, failures, isUnfinished, isSkipped, blocks } = block;
  const isTest = assertions > 0 || (path.length > 0 && blocks.length === 0 && !isSkipped);
  const within = path.length > 0 && blocks.some(hasFailed) ? ["a test in it failed"] : [];
  if (failures.length > 0 || (isTest && !isUnfinished))
    tests.push({ name: nameOf(path), assertions, failures: failures.length > 0 ? failures : within });
  const unfinished = blocks.map((inner) => collect(inner, tests));
  return unfinished.find((inner) => inner !== undefined) ?? (isUnfinished ? block : undefined);
}

/** @param {readonly string[]} path */
function nameOf(path) {
  return path.join(" > ");
}
