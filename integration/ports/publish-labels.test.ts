// Ports published by containers' labels, and what the configuration says of ports.
import t from "tap";
import { Client, DockerHost, service, sockets, until, type Pontoon } from "../lab/index.js";

const labelled = (value: string) => [`--label=pontoon.publish=${value}`];

const lines = async (pontoon: Pontoon, ...args: string[]) =>
  (await pontoon.cli("port", ...args)).stdout.trim().split("\n").filter(Boolean);

t.jobs = 2;

t.test("labels", { buffered: true }, async (t) => {
  const host = await DockerHost.start(t);
  const client = new Client(host);
  await service(host, { name: "early", options: labelled("127.0.0.1:8070:80/tcp"), says: "early " });
  let pontoon = await host.pontoon();

  await t.test("of a container that was there before", () => client.answers("127.0.0.1", 8070, "early "));

  await t.test("at create, start and rm", async (t) => {
    const web = await service(host, { name: "web", options: labelled(" 8080:80, 8053:53/udp,81 "), start: false });
    await until(async () => (await lines(pontoon, "web")).length === 6, { what: "it is published" });
    t.equal(await client.talk("127.0.0.1", 8080, "x"), "ECONNREFUSED");
    await web.start();
    await client.answers("127.0.0.1", 8080);
    await client.answers("::1", 8080);
    await until(async () => (await client.datagram("127.0.0.1", 8053)).size === 10, { what: "UDP answers" });
    t.match(JSON.parse((await pontoon.cli("port", "web", "80", "--json")).stdout), {
      length: 2,
      0: { source: "label", by: "pontoon" },
      1: {},
    });
    const before = await lines(pontoon);
    await pontoon.killEverything();
    pontoon = await host.pontoon();
    await client.answers("127.0.0.1", 8080);
    // A socket of the killed processes may be closed only after the first try.
    await until(async () => (await lines(pontoon)).length === before.length, { what: "all are bound again" });
    t.same(await lines(pontoon), before, "the free port is the same");
    await web.remove();
    await until(async () => (await sockets(host)).length === 1, { what: "its ports are free" });
    t.same(await lines(pontoon), ["early 80/tcp -> 127.0.0.1:8070"]);
  });

  await t.test("changed by recreation, as compose does it", async (t) => {
    const before = await service(host, { name: "app", options: labelled("8080:80,8081:80"), says: "1 " });
    await client.answers("127.0.0.1", 8080, "1 ");
    await before.rename("0a1b_app");
    await before.stop();
    const after = await service(host, { name: "app", options: labelled("8081:80,8082:80"), says: "2 " });
    await before.remove();
    await client.answers("127.0.0.1", 8081, "2 ", 3000);
    await client.answers("127.0.0.1", 8082, "2 ");
    await client.refused("127.0.0.1", 8080);
    t.same(
      await lines(pontoon, "app"),
      ["8081", "8082"].flatMap((port) => [`80/tcp -> 0.0.0.0:${port}`, `80/tcp -> [::]:${port}`]),
    );
    await after.remove();
  });

  await t.test("cannot be taken back by command; what was added by command can", async (t) => {
    t.match(await pontoon.cli("unpublish", "early", "80"), {
      exitCode: 1,
      stdout: "",
      stderr: /^pontoon: 80 of early is published by its label pontoon\.publish; change the label[^\n]*\n$/,
    });
    t.match(await pontoon.cli("unpublish", "early"), {
      exitCode: 1,
      stderr: /^pontoon: `pontoon publish` has published nothing of early/,
    });
    await pontoon.cli("publish", "early", "127.0.0.1:8071:80");
    t.match(await pontoon.cli("unpublish", "early"), { exitCode: 0, stdout: "80/tcp -> 127.0.0.1:8071\n" });
    await client.answers("127.0.0.1", 8070, "early ");
    t.match(await pontoon.cli("publish", "early", "8070:80"), {
      exitCode: 1,
      stderr: /tcp port 8070 is taken: pontoon publishes it for early/,
    });
  });

  await t.test("that cannot be followed are told once, and followed when they can be", async (t) => {
    t.equal(await client.occupy("tcp", "127.0.0.1", 8091), "");
    const bad = await service(host, {
      name: "bad",
      options: labelled("127.0.0.1:8090:80,http:80,127.0.0.1:8091-8092:80-81,127.0.0.1:8093:132/sctp"),
    });
    await client.answers("127.0.0.1", 8090);
    const failures = () =>
      pontoon.logs.filter(
        (line) =>
          line.includes("label pontoon.publish: a port is not published") && /"container":"(bad|lonely)"/.test(line),
      );
    await until(() => failures().length >= 3, { what: "the log tells" });
    t.match(failures().join("\n"), /"spec":"http:80","reason":"port http:80: [^\n]*\n(.*\n)?.*held by/);
    t.same(await lines(pontoon, "bad"), ["80/tcp -> 127.0.0.1:8090", "81/tcp -> 127.0.0.1:8092"]);
    const rows = JSON.parse((await pontoon.cli("port", "bad", "--json")).stdout) as {
      state: string;
      containerPort: number;
      hostPort: number;
      transport: string;
      reason?: string;
    }[];
    t.match(
      rows.filter(({ state }) => state === "failed"),
      {
        length: 3,
        0: { reason: /http:80/ },
        1: { hostPort: 8091, reason: /held by/ },
        2: { transport: "sctp", reason: /SCTP/ },
      },
    );
    t.match((await pontoon.cli("port", "--long")).stdout, /^bad .*failed .*http is not a port/m);
    const { stderr } = await pontoon.cli("port", "bad");
    t.match(
      stderr,
      /^pontoon: bad 80\/tcp -> 127\.0\.0\.1:8091 is not published: tcp port 127\.0\.0\.1:8091 is taken \(held by [^\n]*$/m,
    );
    t.match(stderr, /^pontoon: bad: port http:80: http is not a port/m);
    await client.vacate();
    await client.answers("127.0.0.1", 8091);
    t.equal(failures().length, 3, "each was told once");
    await bad.remove();
    await until(async () => (await pontoon.cli("port")).stderr === "", { what: "failures go with their container" });

    await host.container({ name: "lonely", options: ["--network=host", ...labelled("8095:80")] });
    await until(() => failures().length === 4, { what: "the log tells" });
    t.match(failures()[3], /uses the host's network/);
    await host.docker("rm", "--force", "lonely");
  });

  await t.test("two containers want one port: the second gets it when the first goes", async (t) => {
    const one = await service(host, { name: "one", says: "one ", options: labelled("127.0.0.1:8096:80") });
    await client.answers("127.0.0.1", 8096, "one ");
    await service(host, { name: "two", says: "two ", options: labelled("127.0.0.1:8096:80") });
    await until(async () => (await pontoon.cli("port", "two")).stderr !== "", { what: "the second is refused" });
    t.match((await pontoon.cli("port", "two")).stderr, /pontoon publishes it for one/);
    await client.answers("127.0.0.1", 8096, "one ");
    await one.remove();
    await client.answers("127.0.0.1", 8096, "two ", 3000);
  });

  await t.test("whose containers went while the daemon was away", async (t) => {
    await pontoon.killEverything();
    await host.docker("rm", "--force", "early", "two");
    pontoon = await host.pontoon();
    await until(async () => (await lines(pontoon)).length === 0, { what: "nothing is published" });
    t.same(await sockets(host), []);
    await pontoon.stop();
    await until(() => pontoon.processes().length === 0, { what: "no process is left" });
  });
});

t.test("configuration", { buffered: true }, async (t) => {
  const host = await DockerHost.start(t);
  const client = new Client(host);
  await host.exec(["ip", "address", "add", "10.88.0.1/32", "dev", "lo"]);
  await service(host, { name: "web", options: labelled("8070:80") });

  await t.test("ip", async (t) => {
    const pontoon = await host.pontoon({ config: "ip: 10.88.0.1\n" });
    await client.answers("10.88.0.1", 8070);
    t.equal(
      (await pontoon.cli("publish", "web", "8080:80", "127.0.0.1:8081:80")).stdout,
      "80/tcp -> 10.88.0.1:8080\n80/tcp -> 127.0.0.1:8081\n",
    );
    t.equal((await pontoon.cli("publish", "web", "--ip", "::1", "8082:80")).stdout, "80/tcp -> [::1]:8082\n");
    t.equal(await client.talk("127.0.0.1", 8080, "x"), "ECONNREFUSED");
    t.equal(await client.talk("127.0.0.1", 8070, "x"), "ECONNREFUSED");
    await client.answers("10.88.0.1", 8080);
    await pontoon.stop();
  });

  await t.test("another ip: labels go there, what was published by command stays", async (t) => {
    const pontoon = await host.pontoon({ config: "ip: 127.0.0.1\n" });
    await client.answers("127.0.0.1", 8070);
    t.same((await lines(pontoon, "web")).sort(), [
      "80/tcp -> 10.88.0.1:8080",
      "80/tcp -> 127.0.0.1:8070",
      "80/tcp -> 127.0.0.1:8081",
      "80/tcp -> [::1]:8082",
    ]);
    await client.answers("10.88.0.1", 8080);
    await pontoon.cli("unpublish", "web");
    await pontoon.killEverything();
  });

  for (const [what, options] of [
    ["ports.enabled: false", { config: "ports:\n  enabled: false\n" }],
    ["--observe", { args: ["--observe"] }],
  ] as const)
    await t.test(what, async (t) => {
      const pontoon = await host.pontoon({ ...options, args: [...("args" in options ? options.args : [])] });
      for (const command of ["publish", "unpublish"])
        t.match(await pontoon.cli(command, "web", "8080:80"), {
          exitCode: 1,
          stdout: "",
          stderr: /^pontoon: publishing is switched off \(ports\.enabled[^\n]*\n$/,
        });
      await host.container({ name: "dockers", networks: [], options: ["--publish=127.0.0.1:8060:80"] });
      await until(async () => (await lines(pontoon, "dockers")).length === 1, { what: "Docker's own are shown" });
      t.same(await lines(pontoon), ["dockers 80/tcp -> 127.0.0.1:8060"]);
      t.notMatch((await host.exec(["ps", "ax"])).stdout, /pontoon-proxy/);
      await host.docker("rm", "--force", "dockers");
      await pontoon.stop();
    });
});
