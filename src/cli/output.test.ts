import dnsPacket from "dns-packet";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import t from "tap";
import type { Explanation } from "../../dns/protocol.js";
import type { PortRow } from "../ports/contract.js";
import type { RecordRow } from "../names/record-rows.js";
import type { Status } from "../status.js";
import { forPeople } from "../log.js";
import { checkText, type CheckReport } from "./check-text.js";
import { explainedText, recordsText } from "./dns.js";
import { printedLines } from "./output.js";
import { failedText, lineText, longText, namedLineText } from "./ports.js";
import { statusText } from "./status-text.js";

const hostile = "\x1b[1A\x1b[2Kx\r\ny\u2028\x85\x9b31m\u202ez\t\x00\x7f\u{e0041}";
/** All that may come out of a row is what prints. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

const counters = {
  queries: 7,
  local: 5,
  cached: 0,
  forwarded: 2,
  dockerResolver: 0,
  failed: 1,
  refused: 0,
  tcpConnections: 0,
};
const container = {
  id: "c",
  source: "docker" as const,
  name: "web",
  networks: [{ name: "front", ipv4: "10.0.0.2", ipv6: "fd00::2", names: ["web"] }],
  resolver: "docker" as const,
  reason: "foreign rule",
  wanted: true,
  code: "FOREIGN_DNS_RULES",
  upstreams: ["10.0.0.53"],
  counters,
};
const server = { state: "given-up" as const, pid: 20, version: "1", detail: "five deaths", residentMemory: 1 };
const status: Status = {
  ready: false,
  version: "1.2.3",
  pid: 10,
  observe: false,
  stateDir: "/var/lib/pontoon",
  docker: { host: "unix:///d.sock", state: "waiting", detail: "ENOENT" },
  dns: server,
  ports: { ...server, published: 3, shims: 1, connections: 12, workers: 1 },
  firewall: { rules: ["ip filter DOCKER-USER"], troubles: ["it is owned"] },
  networks: [{ id: "n", name: "front", driver: "bridge", internal: true, shared: true, endpoints: 2 }],
  containers: [container, container],
  upstreams: [
    {
      upstream: { ip: "10.0.0.53", port: 53, from: "container" },
      asked: 1,
      answered: 1,
      timeouts: 0,
      failures: 0,
      latency: 1,
      down: false,
    },
  ],
};
const records: RecordRow[] = [
  { network: "front", name: "web", container: "web1", ipv4: "10.0.0.2", ipv6: "fd00::2", ttl: 5 },
];
const row: PortRow = {
  container: "web",
  containerPort: 80,
  transport: "tcp",
  ip: "0.0.0.0",
  hostPort: 8080,
  by: "pontoon",
  source: "label",
  state: "open",
  target: "172.18.0.2:80",
};
const rows: PortRow[] = [
  row,
  { ...row, state: "failed", reason: "held by nginx" },
  { ...row, containerPort: 0, state: "failed", reason: "a label" },
];
const report: CheckReport = {
  well: false,
  findings: [
    { level: "problem", subject: "containers", text: "mesh: a rule", remedy: "a label" },
    { level: "ok", subject: "docker", text: "fine", remedy: undefined },
  ],
  repaired: ["/run/x"],
};
const answers = [
  { name: "web", type: "A", ttl: 5, data: "10.0.0.2" },
  { name: "web", type: "TXT", ttl: 5, data: "words" },
];
const explained = {
  question: "web A",
  rcode: "NOERROR",
  answers,
  source: { kind: "local" as const, network: "front", names: ["web"] },
  took: 1,
  steps: ["asked as web"],
};

/** The lines the command prints of each kind of data. */
const printed: Record<string, [data: unknown, lines: (data: never) => readonly string[]]> = {
  status: [status, statusText],
  records: [records, recordsText],
  query: [explained, explainedText],
  check: [report, checkText],
  "port --long": [rows, longText],
  port: [
    rows,
    (data: readonly PortRow[]) => [...data.map(lineText), ...data.map(namedLineText), ...data.map(failedText)],
  ],
};

/** The data once for each string in it, with something added to that string. */
function* poisoned(data: unknown, addition: string): Generator<unknown> {
  if (typeof data === "string") yield data + addition;
  else if (Array.isArray(data))
    for (const [index, item] of data.entries())
      for (const changed of poisoned(item, addition)) yield data.with(index, changed);
  else if (typeof data === "object" && data !== null)
    for (const [key, value] of Object.entries(data))
      for (const changed of poisoned(value, addition)) yield { ...data, [key]: changed };
}

for (const [name, [data, lines]] of Object.entries(printed))
  t.test(`${name}: no text of others' makes a row, or reaches the terminal as anything but text`, (t) => {
    const harmless = [...poisoned(data, "-")];
    for (const [index, changed] of [...poisoned(data, hostile)].entries()) {
      const rows = printedLines(lines(changed as never)).split("\n");
      t.equal(
        rows.length,
        printedLines(lines(harmless[index] as never)).split("\n").length,
        JSON.stringify(changed).slice(0, 200),
      );
      t.notOk(rows.some((row) => unprintable.test(row)));
    }
    t.ok(harmless.length > 3);
    t.end();
  });

t.test("a column is as wide as what is printed of its cells", (t) => {
  const [, first, second] = recordsText([
    { ...records[0]!, name: "a\nb" },
    { ...records[0]!, name: "abcd" },
  ]);
  t.equal(first, "front    a\\nb  web1       10.0.0.2  fd00::2  5 s");
  t.equal(second, "front    abcd  web1       10.0.0.2  fd00::2  5 s");
  t.end();
});

t.test("many rows are a table too", (t) => {
  t.equal(recordsText(Array<RecordRow>(200_000).fill(records[0]!)).length, 200_001);
  t.end();
});

t.test("the log for people has one line for each record", (t) => {
  const record = {
    level: 40,
    time: "2026-11-21T08:38:25.101Z",
    msg: hostile,
    reason: hostile,
    [hostile]: hostile,
    more: { of: [hostile] },
  };
  t.notMatch(forPeople(JSON.stringify(record)), unprintable);
  t.equal(
    forPeople(JSON.stringify({ ...record, msg: "plain", reason: "a\nb", [hostile]: undefined, more: undefined })),
    "08:38:25 warning: plain (reason=a\\nb)",
  );
  t.end();
});

t.test("what comes of the command itself is printed so", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const packet = {
    type: "response" as const,
    id: 1,
    flags: 0,
    questions: [{ name: "web", type: "TXT" as const }],
    answers: [{ name: "web", type: "TXT" as const, ttl: 5, data: hostile }],
  };
  const explanation: Explanation = {
    reply: dnsPacket.encode(packet).toString("base64"),
    source: { kind: "local", network: hostile, names: [hostile] },
    took: 1,
    steps: [hostile],
  };
  const failed = rows.map((row) => ({ ...row, container: hostile, reason: hostile }));
  const replies: Record<string, unknown> = {
    "/v1/status": { ...status, containers: [{ ...container, name: hostile }] },
    "/v1/dns/records": [{ ...records[0], name: hostile }],
    "/v1/dns/query": explanation,
    "/v1/ports": failed,
  };
  const daemon = createServer((request, response) => {
    const known = replies[request.url!];
    response
      .writeHead(known === undefined ? 400 : 200)
      .end(JSON.stringify(known ?? { code: hostile, message: hostile }));
  }).listen(join(folder, "control.sock"));
  await once(daemon, "listening");
  t.teardown(() => daemon.close());
  const main = fileURLToPath(new URL("../main.js", import.meta.url));
  const cases: [words: string[], rowsOut: number, rowsErr: number][] = [
    [["status"], 15, 0],
    [["dns", "records"], 2, 0],
    [["dns", "query", "--as", "web", "web", "TXT"], 4, 0],
    [["port"], 1, 2],
    [["port", "--long"], 4, 0],
    [["publish", "web", "80"], 0, 1],
    [["port", hostile], 0, 1],
  ];
  for (const [words, rowsOut, rowsErr] of cases) {
    for (const json of [false, true]) {
      const child = spawn(
        process.execPath,
        [main, ...words.map((word) => word.replaceAll("\0", "")), ...(json ? ["--json"] : []), "--run-dir", folder],
        { stdio: ["ignore", "pipe", "pipe"] },
      );
      const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
      const what = `${words[0]}${json ? " --json" : ""}`;
      t.notMatch(`${out}${err}`.replaceAll("\n", ""), unprintable, what);
      if (json && out !== "")
        t.match(
          JSON.stringify(JSON.parse(out)),
          JSON.stringify(hostile).slice(1, -1),
          `${what}: the data are those of the daemon`,
        );
      if (!json)
        t.same(
          [out, err].map((text) => text.split("\n").length - 1),
          [rowsOut, rowsErr],
          what,
        );
    }
  }
  const usage = spawn(process.execPath, [main, `status${hostile.replaceAll("\0", "")}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.notMatch((await text(usage.stderr)).replaceAll("\n", ""), unprintable, "wrong usage");
});

t.test("output that cannot be written ends the command, in one line at most", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const long = { ...status, containers: Array<typeof container>(20_000).fill(container) };
  const daemon = createServer((_, response) => response.end(JSON.stringify(long))).listen(join(folder, "control.sock"));
  await once(daemon, "listening");
  t.teardown(() => daemon.close());
  const main = fileURLToPath(new URL("../main.js", import.meta.url));
  /** @param pipeline shell text with the command in `"$@"` */
  const run = async (pipeline: string, ...words: string[]) => {
    const child = spawn("bash", ["-c", `set -o pipefail; ${pipeline}`, "bash", process.execPath, main, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [out, err, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit") as Promise<[number]>,
    ]);
    return { lines: out.split("\n").length - 1, err, code };
  };
  const to = ["--run-dir", folder];
  const gone = { lines: 1, err: "", code: 141 };
  const full = { err: "pontoon: the output cannot be written (ENOSPC); make room where it goes\n", code: 1 };
  for (const json of [[], ["--json"]]) {
    t.same(await run('"$@" | head -1', "status", ...json, ...to), gone, "the reader has seen enough");
    t.match(await run('"$@" >/dev/full', "status", ...json, ...to), full);
  }
  t.match(await run('"$@" >/dev/full', "--help"), full);
  t.match(await run('"$@" 2>/dev/full', "status", "--run-dir=/nowhere"), { err: "", code: 1 });
  t.match(await run('("$@"; echo $? >&3) 3>&2 2>&1 >/dev/null | true', "frobnicate"), { err: "2\n" });
});
