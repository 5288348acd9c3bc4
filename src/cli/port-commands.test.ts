import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import type { PortRow } from "../ports/contract.js";

const main = fileURLToPath(new URL("../main.js", import.meta.url));

const web: PortRow = {
  container: "web",
  containerPort: 80,
  transport: "tcp",
  ip: "0.0.0.0",
  hostPort: 49154,
  by: "pontoon",
  source: "command",
  state: "open",
};
const rows: PortRow[] = [
  { ...web, container: "db", containerPort: 5432, by: "docker", source: "docker" },
  web,
  { ...web, ip: "::", state: "refusing" },
  { ...web, containerPort: 443, state: "failed", reason: "nginx has it" },
];

interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The built command, beside a daemon that gives one answer to everything. @returns what runs it, and what the daemon was asked */
async function command(
  t: Test,
  answer: unknown,
  status = 200,
): Promise<{ run: (...words: string[]) => Promise<Run>; asked: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      asked.push(`${request.method} ${request.url}${body === "" ? "" : ` ${body}`}`);
      response.writeHead(status).end(JSON.stringify(answer));
    });
  }).listen(join(folder, "control.sock"));
  await once(server, "listening");
  t.teardown(() => server.close());
  const run = async (...words: string[]): Promise<Run> => {
    const child = spawn(process.execPath, [main, ...words, "--run-dir", folder], { stdio: ["ignore", "pipe", "pipe"] });
    const [out, err, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close") as Promise<[code: number | null]>,
    ]);
    return { code, out, err };
  };
  return { run, asked };
}

t.test("publish says what it published as docker port does", async (t) => {
  const { run, asked } = await command(t, [web]);
  t.same(await run("publish", "web", "80"), { code: 0, out: "80/tcp -> 0.0.0.0:49154\n", err: "" });
  const words =
    "publish web 80 443/udp -P --ip 0::1 --proxy-protocol v2 --accept-proxy-protocol 10.0.0.1 --allow 10.0.0.0/8 " +
    "--allow fd00::/8 --max-connections 5 --drain 0 --connect-timeout 1.5 --udp-idle 60 --json";
  const { code, out } = await run(...words.split(" "));
  t.equal(code, 0);
  t.same(JSON.parse(out), [web]);
  const options = {
    proxyProtocol: "v2",
    acceptProxyProtocolFrom: ["10.0.0.1"],
    allowFrom: ["10.0.0.0/8", "fd00::/8"],
    maxConnections: 5,
    drainMs: 0,
    connectTimeoutMs: 1500,
    udpIdleMs: 60_000,
  };
  t.same(asked, [
    'POST /v1/ports/publish {"container":"web","specs":["80"]}',
    `POST /v1/ports/publish ${JSON.stringify({ container: "web", specs: ["80", "443/udp"], all: true, ip: "::1", options })}`,
  ]);
});

t.test("the options of publish are shown by either way of asking for help", async (t) => {
  const { run } = await command(t, []);
  const help = await run("publish", "--help");
  t.match(help, { code: 0, out: /--proxy-protocol <version>[^]*--udp-idle <seconds>/, err: "" });
  t.same(await run("help", "publish"), help);
});

t.test("unpublish says what is gone", async (t) => {
  const { run, asked } = await command(t, [web]);
  t.same(await run("unpublish", "web", "80"), { code: 0, out: "80/tcp -> 0.0.0.0:49154\n", err: "" });
  await run("unpublish", "web");
  t.same(asked, [
    'POST /v1/ports/unpublish {"container":"web","specs":["80"]}',
    'POST /v1/ports/unpublish {"container":"web","specs":[]}',
  ]);
});

t.test("wrong usage and bad specs never reach the daemon", async (t) => {
  const { run, asked } = await command(t, []);
  const usage = [
    "publish",
    "publish web",
    "publish web 80 --ip lan",
    "publish web 80 --allow lan",
    "publish web 80 --proxy-protocol v3",
    "publish web 80 --max-connections -1",
    "publish web 80 --connect-timeout 0",
    "port a b c",
  ];
  const runs = await Promise.all(usage.map((words) => run(...words.split(" "))));
  for (const [index, { code, out, err }] of runs.entries()) {
    t.same({ code, out }, { code: 2, out: "" }, usage[index]!);
    t.match(err, /^error: /, usage[index]!);
  }
  for (const verb of ["publish", "unpublish"]) {
    t.match(await run(verb, "web", "80", "90-80"), {
      code: 1,
      out: "",
      err: /^pontoon: port 90-80: the range 90-80 ends before it begins; write 80-90\n$/,
    });
  }
  t.same(asked, []);
});

t.test("port shows what is published", async (t) => {
  const { run, asked } = await command(t, rows);
  const failed = "pontoon: web 443/tcp -> 0.0.0.0:49154 is not published: nginx has it\n";
  t.same(await run("port"), {
    code: 0,
    out: "db 5432/tcp -> 0.0.0.0:49154\nweb 80/tcp -> 0.0.0.0:49154\nweb 80/tcp -> [::]:49154\n",
    err: failed,
  });
  t.same(await run("port", "web", "80"), { code: 0, out: "0.0.0.0:49154\n[::]:49154\n", err: "" });
  t.match(await run("port", "web", "--long"), {
    code: 0,
    out: /^CONTAINER .*\n.*\n.*refusing.*\n.*nginx has it\n$/s,
    err: "",
  });
  t.same(JSON.parse((await run("port", "web", "80", "--json")).out), rows.slice(1, 3));
  t.match(await run("port", "web", "81/udp"), {
    code: 1,
    out: "",
    err: /^pontoon: web publishes no port 81\/udp; [^\n]*\n$/,
  });
  t.same(asked, ["GET /v1/ports", ...Array<string>(4).fill("GET /v1/ports?container=web")]);
});

t.test("nothing published prints no line, a refusal prints one", async (t) => {
  t.same(await (await command(t, [])).run("port", "web"), { code: 0, out: "", err: "" });
  const { run } = await command(t, { code: "NO_SUCH_CONTAINER", message: "there is no container web" }, 400);
  for (const words of ["publish web 80", "unpublish web", "port web"])
    t.same(await run(...words.split(" ")), { code: 1, out: "", err: "pontoon: there is no container web\n" }, words);
});
