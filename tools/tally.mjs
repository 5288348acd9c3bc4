// Counts assertions in TAP, so that the last line of a run can be `N passed, N failed`.

export class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;
  failures = [];
  skipReasons = [];

  count(name, ok) {
    if (ok) this.passed++;
    else this.fail(name);
  }

  fail(name) {
    this.failed++;
    this.failures.push(name);
  }

  /**
   * Counts the leaf results of one file's TAP. A file that ends badly without having said `not ok`,
   * or that ran no assertion at all, counts as one failure.
   */
  read(file, output, code, signal) {
    const before = this.failed;
    const leaves = leafResults(output);
    for (const leaf of leaves) {
      if (leaf.skip !== undefined) {
        this.skipped++;
        this.skipReasons.push(`${file}: ${leaf.skip}`);
      } else this.count(`${file}: ${leaf.name}`, leaf.ok);
    }
    if (this.failed === before && (code !== 0 || leaves.length === 0))
      this.fail(
        `${file}: ${signal ? `ended by ${signal}` : leaves.length === 0 ? "no test ran" : `exit code ${code}`}`,
      );
    return this.failed === before;
  }
}

/** TAP lines that are results of their own, not the summary line of a block of subtests. */
export function leafResults(output) {
  const results = [];
  let deepest = 0;
  for (const line of output.split("\n")) {
    const match = /^( *)(not ok|ok) \d+(?: - (.*))?$/.exec(line);
    if (!match) continue;
    const depth = match[1].length;
    const isSummary = depth < deepest;
    deepest = depth;
    if (isSummary) continue;
    const text = match[3] ?? "";
    const skip = /# SKIP ?(.*)$/i.exec(text);
    results.push({
      ok: match[2] === "ok",
      name: text.replace(/ # (time|SKIP|TODO).*$/i, ""),
      skip: skip ? skip[1] || "no reason" : undefined,
    });
  }
  return results;
}

/** What a whole run of tests has printed last, or one failure if it did not come to that. */
export function countsOf(output, code) {
  // What is said of skipped tests goes to stderr, and may come later.
  const last = /^(\d+) passed, (\d+) failed$/.exec(
    output.split("\n").findLast((line) => /^\d+ passed, \d+ failed$/.test(line)) ?? "",
  );
  const failures = output
    .split("\n")
    .flatMap((line) => (line.startsWith("FAILED ") ? [line.slice("FAILED ".length)] : []));
  if (last === null) return { passed: 0, failed: 1, failures: [`ended with exit code ${code} before the last test`] };
  return { passed: Number(last[1]), failed: Number(last[2]), failures };
}
