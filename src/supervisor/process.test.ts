import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { dnsServer } from "../names/program.js";
import { lastWords, pidOfServer } from "./process.js";

t.test("last words are found at the end of a log, and are few", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const log = join(folder, "dns.log");
  t.equal(lastWords(log), "", "no log yet");
  const cases: [content: string, words: string][] = [
    ["", ""],
    ["(node:1) hm\nTypeError: no\n    at x\n", "TypeError: no"],
    [`${"noise\n".repeat(100_000)}Error: last\n`, "Error: last"],
    ["x".repeat(1_000_000), "x".repeat(500)],
  ];
  for (const [content, words] of cases) {
    writeFileSync(log, content);
    t.equal(lastWords(log), words);
  }
  for (const plant of [() => symlinkSync("/etc/passwd", log), () => spawnSync("mkfifo", [log])]) {
    rmSync(log);
    plant();
    t.match(lastWords(log), /not a regular file/);
    t.equal(pidOfServer(dnsServer, log), undefined);
  }
  t.end();
});
