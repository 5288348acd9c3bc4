import t, { type Test } from "tap";
import { DockerHost, until, type Pontoon } from "../lab/index.js";

/** Runs the command and checks that it is refused in one line that says what to do. */
async function refused(t: Test, pontoon: Pontoon, args: string[], code: number, says: RegExp): Promise<void> {
  const { exitCode, stdout, stderr } = await pontoon.cli(...args);
  t.equal(exitCode, code, `pontoon ${args.join(" ")}: exit code`);
  t.equal(stdout, "", "nothing on stdout");
  t.match(stderr, says, "says what is wrong");
}

t.test("the command looks inside a running daemon", async (t) => {
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  const upstream = await outside.dns();
  await upstream.answer("example.com", "A", "192.0.2.80");
  await host.network("n1");
  await host.network("closed", { internal: true });
  const web = await host.container({
    name: "web",
    networks: [{ name: "n1", aliases: ["shop"] }],
    options: [`--dns=${outside.address}`, "--expose=8080"],
  });
  await host.container({ name: "vault", networks: ["closed"] });
  await host.container({ name: "plain" });
  const pontoon = await host.pontoon({ config: "dns:\n  query-log: true\n" });
  const query = async (...args: string[]) => (await pontoon.cli("dns", "query", ...args)).stdout;

  await t.test("status", async (t) => {
    await web.dig("web");
    await web.dig("example.com");
    const text = (await pontoon.cli("status")).stdout;
    t.match(text, `Docker ${host.version}, followed since`);
    t.match(text, /n1\s+bridge\s+1/);
    t.match(text, /closed\s+bridge\s+1\s+internal/);
    t.match(text, new RegExp(`web\\s+n1=${await web.ip("n1")}\\s+pontoon\\s+${outside.address}\\s+2\\s+0`));
    t.match(text, /plain\s+bridge=\S+\s+docker\s.*on no user-defined network/);
    t.match(text, new RegExp(`${outside.address}\\s+good\\s+1\\s+1`), "the upstream and its health");
    const json = JSON.parse((await pontoon.cli("status", "--json")).stdout) as {
      containers: { name: string; resolver: string }[];
    };
    t.same(
      json.containers.map(({ name, resolver }) => [name, resolver]),
      [
        ["plain", "docker"],
        ["vault", "pontoon"],
        ["web", "pontoon"],
      ],
    );
  });

  await t.test("dns records", async (t) => {
    t.match(
      (await pontoon.cli("dns", "records")).stdout,
      new RegExp(`n1\\s+shop\\s+web\\s+${await web.ip("n1")}\\s+-\\s+5 s`),
    );
    const rows = JSON.parse((await pontoon.cli("dns", "records", "--json")).stdout) as {
      network: string;
      name: string;
    }[];
    t.same(new Set(rows.map(({ network }) => network)), new Set(["n1", "closed"]));
  });

  await t.test("dns query explains the answer", async (t) => {
    t.match(
      await query("--as", "web", "shop"),
      /shop A: NOERROR, 1 record[\s\S]*answered by network n1[\s\S]*found on network n1: web/,
    );
    t.match(await query("--as", web.id.slice(0, 12), "_8080._tcp.shop", "srv"), /0 0 8080 web\.n1/);
    t.match(
      await query("--as", "web", "example.com"),
      new RegExp(`192\\.0\\.2\\.80[\\s\\S]*answered by upstream ${outside.address}`),
    );
    t.match(
      await query("--as", "vault", "example.com"),
      /SERVFAIL[\s\S]*on internal networks only: nothing is forwarded/,
    );
    const json = JSON.parse(await query("--as", "web", "web", "--json")) as { rcode: string; source: { kind: string } };
    t.same([json.rcode, json.source.kind], ["NOERROR", "local"]);
  });

  await t.test("the query log names the container", async () => {
    await web.dig("shop");
    await until(
      () =>
        pontoon.logs.some((line) => /"container":"web","name":"shop","type":1,"transport":"udp","rcode":0/.test(line)),
      { what: "the query is logged" },
    );
  });

  await t.test("wrong use", async (t) => {
    await refused(t, pontoon, ["frobnicate"], 2, /unknown command 'frobnicate'/);
    await refused(t, pontoon, ["dns", "query", "web"], 2, /--as <container>/);
    await refused(t, pontoon, ["dns", "query", "--as", "web", "web", "A/B"], 2, /a record type is a word/);
    await refused(
      t,
      pontoon,
      ["dns", "query", "--as", "nobody", "web"],
      1,
      /^pontoon: no container or sandbox is called nobody; see `pontoon status`\n$/,
    );
    await refused(
      t,
      pontoon,
      ["dns", "query", "--as", "plain", "web"],
      1,
      /^pontoon: plain is answered by Docker's resolver, not by pontoon: on no user-defined network\n$/,
    );
    await refused(t, pontoon, ["dns", "query", "--as", "web", "x".repeat(70)], 1, /cannot be asked/);
    await refused(
      t,
      pontoon,
      ["status", "--run-dir=/nowhere"],
      1,
      /^pontoon: no pontoon daemon answers on \/nowhere\/control\.sock; start one/,
    );
    await refused(
      t,
      pontoon,
      ["daemon"],
      1,
      /^pontoon: another pontoon daemon follows unix:\S+; stop it first, `systemctl stop pontoon` if it is the installed one\n$/,
    );
    await refused(
      t,
      pontoon,
      ["daemon", "--run-dir=/run/other", "--docker=ftp://x"],
      1,
      /^pontoon: --docker ftp:\/\/x: not an address of a dockerd; write unix:/,
    );
    await refused(
      t,
      pontoon,
      ["daemon", "--run-dir=/run/other", "--config=/etc/none.yaml"],
      1,
      /\/etc\/none\.yaml cannot be read \(ENOENT\)/,
    );
    host.writeFile("/etc/bad.yaml", "dns:\n  tll: 3\n");
    await refused(
      t,
      pontoon,
      ["daemon", "--run-dir=/run/other", "--config=/etc/bad.yaml"],
      1,
      /unknown key dns\.tll.*known here: enabled, ttl/,
    );
    t.equal((await web.dig("shop")).rcode, "NOERROR", "nothing else stopped");
  });
  t.equal(await pontoon.stop(), 0);
});

t.test("without a dockerd the daemon waits, says so once, and takes it up when it appears", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  await host.stopDockerd();
  const pontoon = await host.pontoon();
  t.match((await pontoon.cli("status")).stdout, /waiting for dockerd at unix:/);
  await host.startDockerd();
  const web = await host.container({ name: "web", networks: ["n1"] });
  await until(async () => (await web.dig("web")).answers[0]?.ttl === 5, { what: "pontoon answers" });
  t.equal(pontoon.logs.filter((line) => line.includes("waiting for it")).length, 1);
  await pontoon.stop();
});
