// Counts tests, so that the last line of a run can be `N passed, N failed`.

/** @typedef {{code: number | undefined, signal: string | undefined, timedOut?: boolean | undefined}} Ending how the process of a test file ended */

export class Tally {
  passed = 0;
  failed = 0;
  assertions = 0;
  /** @type {string[]} */
  failures = [];
  /** @type {string[]} */
  skipped = [];

  /**
   * Counts one test.
   * @param {string} name
   * @param {boolean} ok
   */
  count(name, ok) {
    if (ok) this.passed++;
    else this.fail(name);
  }

  /** @param {string} name of the test, with what failed in it */
  fail(name) {
    this.failed++;
    this.failures.push(name);
  }

  /**
   * Counts the tests of one file. A file that ends badly without a failed test, or that tests nothing, counts as one failure.
   * @param {string} file
   * @param {import("./tap-results.mjs").FileResults} results
   * @param {Ending} ending
   * @returns {boolean} whether nothing failed
   */
  add(file, { tests, skipped, problem }, ending) {
    const before = this.failed;
    for (const { name, assertions, failures } of tests) {
      this.assertions += assertions;
      this.count([file, name, failures.join("; ")].filter((part) => part !== "").join(": "), failures.length === 0);
    }
    this.skipped.push(...skipped.map((what) => `${file}: ${what}`));
    const fault = faultOf(ending, problem) ?? (tests.length + skipped.length === 0 ? "no test ran" : undefined);
    if (fault !== undefined && this.failed === before) this.fail(`${file}: ${fault}`);
    return this.failed === before;
  }
}

/**
 * @param {Ending} ending
 * @param {string | undefined} problem
 */
function faultOf({ code, signal, timedOut }, problem) {
  const end = timedOut
    ? "its process did not end"
    : signal !== undefined
      ? `ended by ${signal}`
      : code !== 0
        ? `exit code ${code}`
        : undefined;
  return end === undefined ? problem : [end, ...(problem === undefined ? [] : [problem])].join("; ");
}

/**
 * What a whole run of tests has printed last, or one failure if it did not come to that.
 * @param {string} output
 * @param {number | undefined} code with which it ended
 */
export function countsOf(output, code) {
  const lines = output.split("\n");
  // What is said of skipped tests goes to stderr, and may come later.
  const last = lines.map((line) => /^(\d+) passed, (\d+) failed$/.exec(line)).findLast((match) => match !== null);
  if (!last) return { passed: 0, failed: 1, failures: [`ended with exit code ${code} before the last test`] };
  const failures = lines.flatMap((line) => (line.startsWith("FAILED ") ? [line.slice("FAILED ".length)] : []));
  return { passed: Number(last[1]), failed: Number(last[2]), failures };
}
