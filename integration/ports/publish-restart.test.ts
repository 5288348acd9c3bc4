// What is published outlives everything: daemons, servers, dockerd, and the host.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import { openEnvironment } from "../../src/store/lmdb.js";
import { Client, DockerHost, service, sockets, until, type Container, type Pontoon } from "../lab/index.js";

const storeFile = "/var/lib/pontoon/store.mdb";
/** Of an older pontoon. */
const listFile = "/var/lib/pontoon/publications.json";

interface Setup {
  host: DockerHost;
  client: Client;
  web: Container;
  pontoon: Pontoon;
}

async function setUp(t: Test, options: { liveRestore?: boolean } = {}): Promise<Setup> {
  const host = await DockerHost.start(t, options);
  const web = await service(host, { name: "web", says: "web " });
  const pontoon = await host.pontoon();
  const client = new Client(host);
  t.same((await pontoon.cli("publish", "web", "8080:80", "8053:53/udp")).stderr, "");
  await client.answers("127.0.0.1", 8080, "web ");
  return { host, client, web, pontoon };
}

async function proxyPid(pontoon: Pontoon): Promise<number | undefined> {
  return ((await pontoon.status()) as { ports: { pid?: number } }).ports.pid;
}

const datagramsFlow = (client: Client) =>
  until(async () => (await client.datagram("127.0.0.1", 8053, { from: 40_000 })).front === "web ", {
    what: "UDP answers",
  });

async function servesAll({ client }: Setup): Promise<void> {
  await client.answers("127.0.0.1", 8080, "web ");
  await client.answers("::1", 8080, "web ");
  await datagramsFlow(client);
}

/** Nobody was ever refused. */
function isUnbroken(t: Test, tally: Record<string, number>, mayBreak = 0): void {
  const { ok = 0, ECONNRESET: reset = 0, cut = 0, ...others } = tally;
  t.same(others, {}, "nobody was refused");
  t.ok(ok > 0);
  t.ok(reset + cut <= mayBreak, `${reset + cut} of ${ok} broken`);
}

/** What is remembered, as text, by id. */
function remembered(host: DockerHost): Map<string, string> {
  const store = openEnvironment(host.path(storeFile), { readOnly: true });
  const records = [...store.getRange({ start: "publication/", end: "publication0" })];
  void store.close();
  return new Map(records.map(({ key, value }) => [key, value]));
}

/** Changes records while no daemon runs. */
function spoil(host: DockerHost, change: (text: string) => string): void {
  const store = openEnvironment(host.path(storeFile), { readOnly: false });
  const records = [...store.getRange({ start: "publication/", end: "publication0" })];
  store.transactionSync(() => {
    for (const { key, value } of records) store.putSync(key, change(value));
  });
  void store.close();
}

/** The same as an older pontoon remembered it. */
function listOf(records: ReadonlyMap<string, string>): string {
  const ports = [...records.values()].map((text) => (JSON.parse(text) as { value: unknown }).value);
  return JSON.stringify({ version: 1, ports });
}

t.jobs = 2;

t.test("the daemon ends, is killed, and its servers", { buffered: true }, async (t) => {
  const setup = await setUp(t);
  const { host, client } = setup;
  let { pontoon } = setup;
  const connection = await client.connect("127.0.0.1", 8080);
  t.equal(await client.say(connection, "before"), "heard");
  const pid = await proxyPid(pontoon);
  const knocked = await client.knock("127.0.0.1", 8080);

  await t.test("SIGTERM, SIGUSR2, kill -9 of the daemon: pontoon-proxy goes on", async (t) => {
    for (const signal of ["SIGTERM", "SIGUSR2", "SIGKILL"] as const) {
      const code = await pontoon.stop(signal);
      t.equal(code, signal === "SIGKILL" ? 137 : 0);
      await servesAll(setup);
      t.equal(await client.say(connection, "meanwhile"), "heard", `${signal}: the connection goes on`);
      pontoon = await host.pontoon();
      t.equal(await proxyPid(pontoon), pid, "the same pontoon-proxy");
      await servesAll(setup);
      t.equal(await client.say(connection, "after"), "heard");
      t.match(JSON.parse((await pontoon.cli("port", "--json")).stdout), {
        length: 4,
        0: { state: "open" },
        1: { state: "open" },
        2: { state: "open", connections: Number },
        3: { state: "open" },
      });
    }
    isUnbroken(t, await knocked());
  });

  await t.test("kill -9 of pontoon-proxy: clients wait", async (t) => {
    const stopKnocking = await client.knock("127.0.0.1", 8080);
    const before = await proxyPid(pontoon);
    await host.signal("SIGKILL", before!);
    await until(async () => ![before, undefined].includes(await proxyPid(pontoon)), { what: "another runs" });
    await servesAll(setup);
    isUnbroken(t, await stopKnocking(), 1);
    t.match(await client.state(connection), /^(ended|ECONNRESET)$/, "what it relayed has ended");
  });

  await t.test("both killed at once", async () => {
    await pontoon.killEverything();
    pontoon = await host.pontoon();
    await servesAll(setup);
  });

  await t.test("the host restarts", async (t) => {
    await pontoon.killEverything();
    await host.stopDockerd({ signal: "SIGKILL" });
    rmSync(host.path("/run/pontoon"), { recursive: true });
    pontoon = await host.pontoon();
    t.equal(await client.talk("127.0.0.1", 8080, "x"), "ECONNREFUSED", "before dockerd is back");
    t.equal(await client.occupy("tcp", "127.0.0.1", 8080), "EADDRINUSE", "and the port is ours");
    await host.startDockerd();
    await host.docker("start", "web");
    await servesAll(setup);
  });

  await t.test("another program takes the port while all is down", async (t) => {
    await pontoon.killEverything();
    t.equal(await client.occupy("tcp", "127.0.0.1", 8080), "");
    pontoon = await host.pontoon();
    t.match(
      (await pontoon.cli("port", "web")).stderr,
      /^pontoon: web 80\/tcp -> 0\.0\.0\.0:8080 is not published: tcp port 0\.0\.0\.0:8080 is taken \(held by node, pid \d+\)/,
    );
    t.notMatch((await pontoon.cli("port", "web")).stdout, "0.0.0.0:8080");
    t.match((await pontoon.cli("port", "--long")).stdout, /0\.0\.0\.0:8080 +pontoon \(command\) +failed .*held by/);
    t.match(await pontoon.cli("publish", "web", "8080:80"), { exitCode: 1, stderr: /pontoon publishes it for web/ });
    t.same(
      (await pontoon.cli("publish", "web", "8080-8081:81")).stdout,
      "81/tcp -> 0.0.0.0:8081\n81/tcp -> [::]:8081\n",
      "what is only waiting is not given away",
    );
    await client.answers("::1", 8080, "web ");
    await client.vacate();
    await client.answers("127.0.0.1", 8080, "web ");
    t.match(JSON.parse((await pontoon.cli("port", "web", "80", "--json")).stdout), {
      length: 2,
      0: { state: "open" },
      1: { state: "open" },
    });
    t.equal(pontoon.logs.filter((line) => line.includes("cannot be bound")).length, 1, "logged once");
  });

  await t.test("what was unpublished stays so; nothing is left", async (t) => {
    await pontoon.cli("unpublish", "web");
    await pontoon.killEverything();
    pontoon = await host.pontoon();
    t.same(await sockets(host), []);
    t.equal(await pontoon.stop(), 0);
    await until(() => pontoon.processes().length === 0, { what: "no process is left" });
    t.same(readdirSync(host.path("/run/pontoon")), []);
    t.same(readdirSync(host.path("/var/lib/pontoon")).sort(), ["store.mdb", "store.mdb-lock"]);
  });
});

t.test("dockerd, free ports, and the list of what is published", { buffered: true }, async (t) => {
  const setup = await setUp(t, { liveRestore: true });
  const { host, client } = setup;
  let { pontoon } = setup;

  await t.test("dockerd restarts with live-restore", async (t) => {
    const connection = await client.connect("127.0.0.1", 8080);
    const knocked = await client.knock("127.0.0.1", 8080);
    await host.stopDockerd({ signal: "SIGKILL" });
    await servesAll(setup);
    t.equal(await client.say(connection, "meanwhile"), "heard");
    await host.startDockerd();
    await pontoon.waitUntil((status) => (status as { docker: { state: string } }).docker.state === "following", {
      timeoutMs: 20_000,
    });
    await servesAll(setup);
    t.equal(await client.say(connection, "after"), "heard");
    isUnbroken(t, await knocked());
    await client.hangUp(connection);
  });

  await t.test("dockerd away: ports can be taken back, and given", async (t) => {
    await host.stopDockerd();
    t.equal((await pontoon.cli("unpublish", "web", "8053:53/udp")).exitCode, 0);
    t.equal((await pontoon.cli("publish", "web", "8053:53/udp")).stderr, "");
    await datagramsFlow(client);
    await pontoon.kill();
    pontoon = await host.pontoon();
    t.match(await pontoon.cli("publish", "web", "8099:80"), { exitCode: 1, stderr: /^pontoon: .*dockerd/ });
    await servesAll(setup);
    await host.startDockerd();
    await pontoon.waitUntil((status) => (status as { docker: { state: string } }).docker.state === "following", {
      timeoutMs: 20_000,
    });
    await servesAll(setup);
  });

  await t.test("a free port that was chosen stays the same", async (t) => {
    const { stdout } = await pontoon.cli("publish", "web", "81", "53/udp");
    const rows = (await pontoon.cli("port")).stdout;
    for (const line of stdout.trim().split("\n")) t.match(rows, `web ${line}`);
    await pontoon.killEverything();
    pontoon = await host.pontoon();
    // A process that is just ending may hold its sockets a moment longer; they are tried again then.
    await until(async () => (await pontoon.cli("port")).stdout === rows, {
      what: "all are bound again",
      timeoutMs: 20_000,
    });
    await pontoon.cli("unpublish", "web", "81", "53/udp");
  });

  for (const [what, file, text, message] of [
    ["a list from the future", listFile, '{"version":99}', /publications\.json was written by a newer pontoon/],
    [
      "a store that is damaged",
      storeFile,
      "x".repeat(10_000),
      /store\.mdb is no store of pontoon's.*move the file away/,
    ],
  ] as const)
    await t.test(`${what}: the daemon says so, and leaves it alone; what runs is served`, async (t) => {
      const web = (await pontoon.cli("port")).stdout;
      await pontoon.kill();
      const before = existsSync(host.path(file)) ? readFileSync(host.path(file)) : undefined;
      host.writeFile(file, text);
      pontoon = await host.pontoon();
      t.match(
        pontoon.logs.join("\n"),
        /it is not known what is to be published.*STORE_UNREADABLE|STORE_UNREADABLE.*it is not known/,
      );
      t.match(await pontoon.cli("publish", "web", "8099:80"), { exitCode: 1, stderr: message });
      t.equal(await client.talk("127.0.0.1", 8080, "x"), "web x");
      t.equal(readFileSync(host.path(file), "utf8"), text);
      await pontoon.kill();
      if (before) writeFileSync(host.path(file), before);
      else rmSync(host.path(file));
      pontoon = await host.pontoon();
      t.equal((await pontoon.cli("port")).stdout, web);
      await client.answers("127.0.0.1", 8080, "web ");
    });

  for (const [damage, lose] of [
    ["one bad record", () => spoil(host, (text) => text.replace('"hostPort":8098', '"hostPort":-1'))],
    ["none of it makes sense", () => spoil(host, () => "x")],
    ["it is gone", () => rmSync(host.path(storeFile))],
  ] as const)
    await t.test(`what is remembered is lost while pontoon-proxy serves: ${damage}`, async (t) => {
      await pontoon.cli("publish", "web", "8098:80", "8097:53/udp");
      const rows = (await pontoon.cli("port")).stdout;
      await pontoon.kill();
      const saved = remembered(host);
      lose();
      pontoon = await host.pontoon();
      t.equal((await pontoon.cli("port")).stdout, rows, "nothing is closed");
      await client.answers("127.0.0.1", 8098, "web ");
      t.match(pontoon.logs.join("\n"), /lacked ports that pontoon-proxy serves; they stay published/);
      await pontoon.kill();
      const meant = (records: ReadonlyMap<string, string>) =>
        new Map([...records].map(([key, record]) => [key, JSON.parse(record) as unknown]));
      t.same(meant(remembered(host)), meant(saved), "and all is remembered again");
      pontoon = await host.pontoon();
      await pontoon.cli("unpublish", "web", "8098:80", "8097:53/udp");
    });

  await t.test("one bad record is dropped, and the others are bound", async (t) => {
    await pontoon.cli("publish", "web", "127.0.0.1:8098:80", "127.0.0.1:8097:80");
    await pontoon.killEverything();
    spoil(host, (text) => text.replace('"hostPort":8098', '"hostPort":-1'));
    pontoon = await host.pontoon();
    await client.answers("127.0.0.1", 8097, "web ");
    t.match(pontoon.logs.join("\n"), /"hostPort.*-1.*something that was remembered makes no sense/);
    await pontoon.cli("unpublish", "web", "8097:80");
  });

  await t.test("the list of an older pontoon is taken over, also after a downgrade", async (t) => {
    await pontoon.cli("publish", "web", "127.0.0.1:8098:80");
    await pontoon.killEverything();
    const list = listOf(remembered(host));
    rmSync(host.path(storeFile));
    host.writeFile(listFile, list);
    pontoon = await host.pontoon();
    await client.answers("127.0.0.1", 8098, "web ");
    t.equal(readFileSync(host.path(`${listFile}.migrated`), "utf8"), list);
    await pontoon.cli("unpublish", "web", "127.0.0.1:8098:80");
    await pontoon.killEverything();
    host.writeFile(listFile, list);
    pontoon = await host.pontoon();
    await client.answers("127.0.0.1", 8098, "web ");
    await pontoon.cli("unpublish", "web", "127.0.0.1:8098:80");
  });

  await t.test("a damaged list is put aside, and nothing of it is published", async (t) => {
    await pontoon.killEverything();
    host.writeFile(listFile, '{ "version": 1, "ports": [');
    pontoon = await host.pontoon();
    t.match(pontoon.logs.join("\n"), /the list of published ports was damaged/);
    t.same(await sockets(host), []);
    t.ok(existsSync(host.path(`${listFile}.damaged`)));
    await pontoon.cli("publish", "web", "8080:80");
    await client.answers("127.0.0.1", 8080, "web ");
    await pontoon.cli("unpublish", "web");
  });

  await t.test("a store that cannot be written: nothing is published", async (t) => {
    await pontoon.kill();
    await host.exec(["mount", "-o", "remount,ro", "/var/lib/pontoon"]);
    pontoon = await host.pontoon();
    t.match(await pontoon.cli("publish", "web", "8080:80"), {
      exitCode: 1,
      stderr: /^pontoon: \/var\/lib\/pontoon\/store\.mdb cannot be written \(EROFS\)[^\n]*\n$/,
    });
    t.same(await sockets(host), []);
    await host.exec(["mount", "-o", "remount,rw", "/var/lib/pontoon"]);
    t.equal((await pontoon.cli("publish", "web", "8080:80")).exitCode, 0);
    await pontoon.cli("unpublish", "web");
    t.equal(await pontoon.stop(), 0);
    await until(() => pontoon.processes().length === 0, { what: "no process is left" });
  });
});
