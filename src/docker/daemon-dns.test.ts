import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { daemonDnsOf, daemonSettingsOf, valuesOf } from "./daemon-dns.js";

t.test("a flag's values are found in either spelling", (t) => {
  const words = ["dockerd", "--dns", "10.0.0.1", "--dns=10.0.0.2", "--dns-opt", "ndots:1", "--debug", "--dns"];
  t.same(valuesOf(words, "--dns"), ["10.0.0.1", "10.0.0.2"], "one without a value has none");
  t.same(valuesOf(words, "--dns-opt"), ["ndots:1"]);
  t.same(valuesOf(words, "--dns-search"), []);
  t.end();
});

/** A process with these words on its command line, as long as the test lasts. */
function running(t: { teardown(work: () => void): void }, ...words: string[]): number {
  const child = spawn(process.execPath, ["--eval", "process.stdin.resume()", "--", ...words], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  t.teardown(() => child.stdin.end());
  return child.pid!;
}

t.test("dockerd's own settings come from its command line, else from its file", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const fifo = join(folder, "fifo");
  spawnSync("mkfifo", [fifo]);
  const full = file("full.json", JSON.stringify({ dns: ["10.0.0.3", 5], "dns-opts": ["rotate"] }));
  const cases: [what: string, words: string[], expected: object][] = [
    ["both from the file", ["--config-file", full], { servers: ["10.0.0.3"], options: ["rotate"] }],
    [
      "servers from the command line",
      [`--config-file=${full}`, "--dns", "10.0.0.1"],
      { servers: ["10.0.0.1"], options: ["rotate"] },
    ],
    ["no such file", ["--config-file", join(folder, "nosuch.json")], { servers: [], options: [] }],
    ["a file that is being edited", ["--config-file", file("half.json", '{"dns": [')], { servers: [], options: [] }],
    ["a device", ["--config-file", "/dev/zero"], { servers: [], options: [] }],
    ["a fifo that nobody writes to", ["--config-file", fifo], { servers: [], options: [] }],
    [
      "a file without end",
      ["--config-file", file("long.json", `{"dns":["10.0.0.3"],"x":"${"x".repeat(2_000_000)}"}`)],
      { servers: [], options: [] },
    ],
    [
      "very many servers",
      ["--config-file", file("many.json", JSON.stringify({ dns: Array<string>(1000).fill("10.0.0.3") }))],
      { servers: Array<string>(32).fill("10.0.0.3"), options: [] },
    ],
    ["a file of another shape", ["--config-file", file("odd.json", "[]")], { servers: [], options: [] }],
    [
      "a setting of another shape",
      ["--config-file", file("odd2.json", '{"dns":"10.0.0.1"}')],
      { servers: [], options: [] },
    ],
  ];
  for (const [what, words, expected] of cases) {
    const pid = running(t, ...words);
    let found = await daemonDnsOf(pid);
    // The command line is the parent's until the child has executed node.
    for (
      const giveUpAt = performance.now() + 10_000;
      JSON.stringify(found) !== JSON.stringify(expected) && performance.now() < giveUpAt;
    )
      found = await daemonDnsOf(pid);
    t.same(found, expected, what);
  }
});

t.test("switches are on unless the command line or the file says otherwise", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const off = join(folder, "off.json");
  writeFileSync(off, JSON.stringify({ iptables: false, "userland-proxy": false }));
  const none = ["--config-file", join(folder, "none.json")];
  const cases: [words: string[], iptables: boolean, userlandProxy: boolean][] = [
    [none, true, true],
    [[...none, "--iptables=false", "--userland-proxy=0"], false, false],
    [[...none, "--iptables", "--userland-proxy=true"], true, true],
    [["--config-file", off], false, false],
    [["--config-file", off, "--iptables=true"], true, false],
  ];
  for (const [words, iptables, userlandProxy] of cases) {
    const pid = running(t, ...words);
    let found = await daemonSettingsOf(pid);
    const isRight = () => found.iptables === iptables && found.userlandProxy === userlandProxy;
    for (const giveUpAt = performance.now() + 10_000; !isRight() && performance.now() < giveUpAt;)
      found = await daemonSettingsOf(pid);
    t.match(found, { iptables, userlandProxy }, words.slice(2).join(" "));
  }
});

t.test("a dockerd that has just ended says nothing", async (t) => {
  const pid = 2 ** 22 + 1; // beyond the kernel's largest process id
  t.same(await daemonDnsOf(pid), { servers: [], options: [] });
});
