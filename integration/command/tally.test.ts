import { join } from "node:path";
import t from "tap";
import { repositoryRoot } from "../lab/root.js";

interface TestResult {
  readonly name: string;
  readonly assertions: number;
  readonly failures: readonly string[];
}

interface FileResults {
  readonly tests: readonly TestResult[];
  readonly skipped: readonly string[];
  readonly problem: string | undefined;
}

interface Ending {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly timedOut?: boolean | undefined;
}

interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly assertions: number;
  readonly skipped: readonly string[];
  readonly failures: readonly string[];
  add(file: string, results: FileResults, ending: Ending): boolean;
}

// The tools are plain JavaScript beside the build, so their paths are found at run time.
const tool = (name: string): Promise<unknown> => import(join(repositoryRoot, "tools", name));
const { Tally, countsOf } = (await tool("tally.mjs")) as {
  Tally: new () => Tally;
  readonly countsOf: (output: string, code: number | undefined) => unknown;
};
const { readTap } = (await tool("tap-results.mjs")) as { readonly readTap: (output: string) => FileResults };

function tallyOf(output: string, { code = 0, signal, timedOut }: Partial<Ending> = {}) {
  const tally = new Tally();
  const ending = { code: signal === undefined ? code : undefined, signal, timedOut };
  const ok = tally.add("f", readTap(output), ending);
  const { passed, failed, assertions, skipped, failures } = tally;
  if (ok !== (failed === 0)) throw new Error("what it returns is not what it counts");
  return { passed, failed, assertions, skipped, failures };
}

const none = { passed: 0, failed: 0, assertions: 0, skipped: [], failures: [] };

t.test(
  "a test is a block that makes assertions itself, or holds no other, or what a file asserts outside of any",
  (t) => {
    const output = `TAP version 14
ok 1 - first
ok 2 - second
# Subtest: group
    # Subtest: inner
        ok 1 - a
        ok 2 - b
        1..2
    ok 1 - inner # time=1ms
    # Subtest: other
        ok 1 - c
        1..1
    ok 2 - other # time=1ms
    1..2
ok 3 - group # time=2ms
# Subtest: fails by throwing
    1..0
ok 4 - fails by throwing # time=2ms
1..4
`;
    t.same(tallyOf(output), { ...none, passed: 4, assertions: 5 });
    t.end();
  },
);

t.test("a test fails with all tests around it, and is told with what failed", (t) => {
  const output = `TAP version 14
# Subtest: outer
    # Subtest: middle
        # Subtest: inner
            ok 1 - first
            not ok 2 - second
              ---
              diff: |
                not ok 9 - no result
              ...
            not ok 3 - third
            1..3
        not ok 1 - inner # time=1ms
        1..1
    not ok 1 - middle # time=1ms
    ok 2 - of outer
    1..2
not ok 1 - outer # time=2ms
# Subtest: next
    ok 1 - a
    1..1
ok 2 - next # time=2ms
1..2
`;
  t.same(tallyOf(output, { code: 1 }), {
    ...none,
    passed: 1,
    failed: 2,
    assertions: 5,
    failures: ["f: outer: a test in it failed", "f: outer > middle > inner: second; third"],
  });
  t.end();
});

t.test("what fails outside of tests is the file's, and what is in tests there is not", (t) => {
  t.same(tallyOf("not ok 1 - a\nok 2 - b\n1..2\n", { code: 1 }).failures, ["f: a"]);
  const output = "ok 1 - a\n# Subtest: t\n    not ok 1 - b\n    1..1\nnot ok 2 - t\n1..2\n";
  t.same(tallyOf(output, { code: 1 }), { ...none, passed: 1, failed: 1, assertions: 2, failures: ["f: t: b"] });
  t.end();
});

t.test("a block may fail as a whole", (t) => {
  const output =
    "# Subtest: t\n    # Subtest: u\n        ok 1 - a\n        1..1\n    ok 1 - u\n    1..1\nnot ok 1 - t\n1..1\n";
  t.same(tallyOf(output, { code: 1 }), {
    ...none,
    passed: 1,
    failed: 1,
    assertions: 1,
    failures: ["f: t: failed as a whole"],
  });
  t.end();
});

t.test("what is skipped is neither passed nor failed, and told with the reason", (t) => {
  const output = `ok 1 - a
ok 2 - b # SKIP needs root
# Subtest: t
    ok 1 - c # SKIP
    not ok 2 - d # TODO later
    1..2
ok 3 - t
# Subtest: u
    1..0 # no nft
ok 4 - u # SKIP no nft
1..4
`;
  const skipped = ["f: b: needs root", "f: t > c: no reason", "f: t > d: later", "f: u: no nft"];
  t.same(tallyOf(output), { ...none, passed: 1, assertions: 1, skipped });
  t.same(tallyOf("ok 1 - b # SKIP needs root\n1..1\n"), { ...none, skipped: ["f: b: needs root"] });
  t.end();
});

t.test("what is no TAP is passed over, but hides nothing", (t) => {
  const lines = ["# Subtest: t", "    ok 1 - a", "    ok 2 - b", "    1..2", "ok 1 - t", "1..1"];
  const between = ["hello", "    {", "  ---", "ok, then", "Error: not ok", "\u001b[31mred\u0000"];
  for (const garbage of between)
    for (let at = 0; at <= lines.length; at++)
      t.same(
        tallyOf(lines.toSpliced(at, 0, garbage).join("\n")),
        { ...none, passed: 1, assertions: 2 },
        `${JSON.stringify(garbage)} before line ${at}`,
      );
  const hidden = tallyOf(["# Subtest: t", "hello    ok 1 - a", ...lines.slice(2)].join("\n"));
  t.same(hidden.failures, ["f: t: incorrect number of tests"], "a result at the end of another line is missed");
  t.end();
});

t.test("a plan that is not kept is a failure", (t) => {
  for (const [what, output, failures] of [
    ["too few", "# Subtest: t\n    ok 1 - a\n    1..2\nok 1 - t\n1..1\n", ["f: t: incorrect number of tests"]],
    ["too few in the file", "ok 1 - a\n1..2\n", ["f: incorrect number of tests"]],
    ["too many", "1..1\nok 1 - a\nok 2 - b\n", ["f: b (id greater than plan end)"]],
    ["the same twice", "ok 1 - a\nok 1 - b\n1..2\n", ["f: b (test point id 1 appears multiple times)"]],
  ] as const)
    t.same(tallyOf(output).failures, failures, what);
  t.end();
});

t.test("a file that ends badly, or tests nothing, is one failure", (t) => {
  const whole = "ok 1 - a\n1..1\n";
  const cut = "# Subtest: t\n    ok 1 - a\n    # Subtest: u\n        ok 1 - b\n";
  for (const [what, output, ending, failures] of [
    ["no output", "", {}, ["f: no test ran"]],
    ["no TAP", "hello\n", {}, ["f: no test ran"]],
    ["it did not start", "", { code: 1 }, ["f: exit code 1"]],
    ["a crash after the last result", whole, { code: 7 }, ["f: exit code 7"]],
    ["a kill", whole, { signal: "SIGKILL" }, ["f: ended by SIGKILL"]],
    ["no end", whole, { signal: "SIGTERM", timedOut: true }, ["f: its process did not end"]],
    ["a kill amid it", cut, { signal: "SIGKILL" }, ["f: ended by SIGKILL; its output ends too early, in t > u"]],
    ["an end amid it", cut, {}, ["f: its output ends too early, in t > u"]],
    ["an end before the plan", "ok 1 - a\n", {}, ["f: its output ends too early"]],
    [
      "bail out",
      "# Subtest: t\n    ok 1 - a\nBail out! no disk\n",
      { code: 1 },
      ["f: exit code 1; bailed out: no disk"],
    ],
    ["a failure is told once", "not ok 1 - a\n1..1\n", { code: 1 }, ["f: a"]],
    ["a failure, then a kill", "# Subtest: t\n    not ok 1 - a\n", { signal: "SIGKILL" }, ["f: t: a"]],
  ] as const) {
    const { failed, failures: told } = tallyOf(output, ending);
    t.same(told, failures, what);
    t.equal(failed, 1);
  }
  t.end();
});

t.test("output that ends anywhere is a failure, and passes no test that has not ended", (t) => {
  const output =
    "# Subtest: t\n    ok 1 - a\n    ok 2 - b\n    1..2\nok 1 - t\n# Subtest: u\n    ok 1 - c\n    1..1\nok 2 - u\n1..2\n";
  const all = tallyOf(output);
  t.same(all, { ...none, passed: 2, assertions: 3 });
  for (let length = 0; length < output.length - "1..2\n".length; length++) {
    const { passed, failed } = tallyOf(output.slice(0, length), { signal: "SIGTERM" });
    t.ok(failed === 1 && passed <= 2, `after ${length} characters`);
  }
  t.end();
});

t.test("a run's own last line is read, with what failed", (t) => {
  const output =
    "ok   a (0.1 s)\n1 passed, 1 failed of a test\nFAILED f: t: a\n6 assertions in 5 tests\n4 passed, 1 failed\nlate\n";
  t.same(countsOf(output, 1), { passed: 4, failed: 1, failures: ["f: t: a"] });
  const broken = { passed: 0, failed: 1, failures: ["ended with exit code 1 before the last test"] };
  t.same(countsOf("pontoon: the build failed\n", 1), broken);
  t.end();
});

t.test("a failure says where, and what was other than expected", (t) => {
  const output = `TAP version 14
not ok 1 - should be equal
  ---
  diff: |
    --- expected
    +++ actual
    @@ -1,1 +1,1 @@
    -0
    +1
  at:
    fileName: src/f.test.ts
    lineNumber: 7
  ...
not ok 2 - long
  ---
  diff: |
    --- expected
    +++ actual
    -${"x".repeat(500)}
  ...
1..2
# failed 2 of 2 tests
`;
  const { failures } = tallyOf(output, { code: 1 });
  t.match(failures.join("; "), /^f: should be equal \(line 7: -0 \+1\); long \(-x{299}…\)$/);
  t.end();
});
