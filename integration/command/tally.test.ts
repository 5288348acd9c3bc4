import t from "tap";

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  failures: string[];
  read(file: string, output: string, code: number | null, signal: string | null): boolean;
}

// The tool is plain JavaScript beside the build, so its path is found at run time.
const { Tally: TallyClass } = (await import(new URL("../../tools/tally.mjs", import.meta.url).href)) as {
  Tally: new () => Tally;
};

function tallyOf(output: string, code: number | null = 0, signal: string | null = null) {
  const tally = new TallyClass();
  tally.read("f", output, code, signal);
  const { passed, failed, skipped, failures } = tally;
  return { passed, failed, skipped, failures };
}

const nested = `TAP version 14
# Subtest: outer
    # Subtest: inner
        ok 1 - first
        not ok 2 - second
        1..2
    not ok 1 - inner # time=1ms
    ok 2 - third
    1..2
not ok 1 - outer # time=2ms
1..1
`;

t.test("leaves are counted, and not the blocks they stand in", (t) => {
  t.same(tallyOf(nested, 1), { passed: 2, failed: 1, skipped: 0, failures: ["f: second"] });
  t.end();
});

t.test("what is skipped is neither passed nor failed", (t) => {
  t.match(tallyOf("ok 1 - a\nok 2 - b # SKIP needs root\n1..2\n"), { passed: 1, failed: 0, skipped: 1 });
  t.end();
});

t.test("a file that ends badly, or tests nothing, is a failure", (t) => {
  const cases: [what: string, output: string, code: number | null, signal: string | null, failures: string[]][] = [
    ["no output", "", 0, null, ["f: no test ran"]],
    ["a crash after the last result", "ok 1 - a\n", 7, null, ["f: exit code 7"]],
    ["a kill", "ok 1 - a\n", null, "SIGKILL", ["f: ended by SIGKILL"]],
    ["a failure is told once", "not ok 1 - a\n", 1, null, ["f: a"]],
  ];
  for (const [what, output, code, signal, failures] of cases)
    t.same(tallyOf(output, code, signal).failures, failures, what);
  t.end();
});
