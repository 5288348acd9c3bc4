// What `pontoon publish` takes and refuses: every form of a port, all or none, and what it says.
import t, { type Test } from "tap";
import { Client, DockerHost, service, sockets, type CommandResult } from "../lab/index.js";

/** `docker port` of Docker 20.10 prints IPv6 addresses without brackets. */
const bracketed = (text: string) =>
  text
    .replaceAll(/(^|-> )((?:[0-9a-f]*:){2}[0-9a-f:]*):(\d+)$/gm, "$1[$2]:$3")
    .split("\n")
    .sort();
const lines = ({ stdout }: CommandResult) => stdout.trim().split("\n").filter(Boolean);

t.test("forms, refusals and listings", async (t) => {
  const host = await DockerHost.start(t);
  const client = new Client(host);
  await service(host, { name: "web", options: ["--expose=80", "--expose=53/udp"] });
  const pontoon = await host.pontoon();
  const before = await sockets(host);

  /** Publishes, and takes it back when the test is over. */
  async function published(t: Test, ...args: string[]): Promise<string[]> {
    const result = await pontoon.cli("publish", "web", ...args);
    t.same([result.stderr, result.exitCode], ["", 0]);
    return lines(result);
  }

  /** Refused in one line, and everything is as before. */
  async function refused(t: Test, args: string[], message: RegExp, exitCode = 1): Promise<void> {
    const was = [await sockets(host), await pontoon.cli("port")];
    const result = await pontoon.cli("publish", ...args);
    t.match(result.stderr, message, args.join(" "));
    if (exitCode === 1) t.equal(result.stderr.trimEnd().split("\n").length, 1, "one line");
    t.same([result.stdout, result.exitCode], ["", exitCode]);
    t.same([await sockets(host), await pontoon.cli("port")], was, "nothing has changed");
  }

  t.afterEach(async () => void (await pontoon.cli("unpublish", "web")));

  await t.test("every form, several in one command", async (t) => {
    t.same(
      await published(
        t,
        "8080:80",
        "127.0.0.1:8081:80",
        "[::1]:8082:80",
        "::1:8083:80/TCP",
        "8053:53/udp",
        "published=8084,target=80",
      ),
      [
        "80/tcp -> 0.0.0.0:8080",
        "80/tcp -> [::]:8080",
        "80/tcp -> 127.0.0.1:8081",
        "80/tcp -> [::1]:8082",
        "80/tcp -> [::1]:8083",
        "53/udp -> 0.0.0.0:8053",
        "53/udp -> [::]:8053",
        "80/tcp -> 0.0.0.0:8084",
        "80/tcp -> [::]:8084",
      ],
    );
    for (const [ip, port] of [
      ["127.0.0.1", 8080],
      ["::1", 8080],
      ["127.0.0.1", 8081],
      ["::1", 8082],
      ["::1", 8083],
      ["127.0.0.1", 8084],
    ] as const)
      await client.answers(ip, port);
    for (const ip of ["127.0.0.1", "::1"])
      t.match(await client.datagram(ip, 8053), { size: 10, error: "", from: `${ip} 8053` });
    t.equal(await client.talk("::1", 8081, "x"), "ECONNREFUSED");
    t.equal(await client.talk("127.0.0.1", 8082, "x"), "ECONNREFUSED");
  });

  await t.test("a host port left out or 0: a free one, the same for both families", async (t) => {
    const [any4, any6, zero4, zero6, udp4, udp6, local, local6] = await published(
      t,
      "80",
      "0:80",
      "53/udp",
      "127.0.0.1::80",
      "[::1]::80",
    );
    const port = (line: string | undefined) => Number(line?.slice(line.lastIndexOf(":") + 1));
    t.same([port(any4), port(zero4), port(udp4)], [port(any6), port(zero6), port(udp6)]);
    t.matchOnly(
      [any4, any6, zero4, udp4, local, local6],
      [
        /^80\/tcp -> 0\.0\.0\.0:\d+$/,
        /^80\/tcp -> \[::\]:\d+$/,
        /^80\/tcp/,
        /^53\/udp/,
        /-> 127\.0\.0\.1:\d+$/,
        /-> \[::1\]:\d+$/,
      ],
    );
    for (const [ip, line] of [
      ["127.0.0.1", any4],
      ["::1", any6],
      ["127.0.0.1", zero4],
      ["127.0.0.1", local],
      ["::1", local6],
    ] as const)
      await client.answers(ip, port(line));
    t.match(await client.datagram("127.0.0.1", port(udp4)), { size: 10 });
  });

  await t.test("every exposed port", async (t) => {
    const [tcp, , udp] = (await published(t, "--all")).sort().reverse();
    t.matchOnly([tcp, udp], [/^80\/tcp -> /, /^53\/udp -> /]);
    t.equal((await pontoon.cli("port", "web")).stdout.trim().split("\n").length, 4);
  });

  await t.test("ranges", async (t) => {
    t.same((await published(t, "127.0.0.1:9078-9082:78-82")).length, 5);
    await client.answers("127.0.0.1", 9080);
    t.equal(await client.occupy("tcp", "0.0.0.0", 8000), "");
    t.equal(await client.occupy("tcp", "::", 8001), "");
    t.same(
      await published(t, "8000-8010:80"),
      ["80/tcp -> 0.0.0.0:8002", "80/tcp -> [::]:8002"],
      "the first that is free in both families",
    );
    t.same(await published(t, "8000-8010:80"), ["80/tcp -> 0.0.0.0:8003", "80/tcp -> [::]:8003"]);
    await client.vacate();
    t.equal((await published(t, "127.0.0.1::1000-1003")).length, 4, "free ones for a range");
  });

  await t.test("an address of its own, of one family", async (t) => {
    await host.exec(["ip", "address", "add", "10.88.0.1/32", "dev", "lo"]);
    t.same(await published(t, "--ip", "10.88.0.1", "8080:80", "127.0.0.1:8080:80"), [
      "80/tcp -> 10.88.0.1:8080",
      "80/tcp -> 127.0.0.1:8080",
    ]);
    await client.answers("10.88.0.1", 8080);
    t.same(await published(t, "--ip", "::", "8081:80"), ["80/tcp -> [::]:8081"]);
    t.equal(await client.talk("127.0.0.1", 8081, "x"), "ECONNREFUSED", "IPv6 only");
    await client.answers("::1", 8081);
  });

  await t.test("what makes no sense", async (t) => {
    await refused(t, ["web", "8090-8080:80"], /^pontoon: .*ends before it begins/);
    await refused(t, ["web", "8080-8082:80-81"], /^pontoon: .*3 ports of the host for 2/);
    await refused(t, ["web", "80/icmp"], /not a protocol/);
    await refused(t, ["web", "65536"], /1 to 65535/);
    await refused(t, ["web", "8080:80", "132/sctp"], /^pontoon: .*SCTP/);
    await refused(t, ["nobody", "8080:80"], /^pontoon: no container or sandbox is called nobody/);
    await refused(t, ["web"], /missing/, 2);
    await refused(t, ["web", "80", "--ip", "localhost"], /IP address/, 2);
    await refused(t, ["web", "80", "--allow", "10.0.0.0/99"], /network/, 2);
    await refused(t, ["web", "198.51.100.7:8080:80"], /^pontoon: 198\.51\.100\.7 is not an address of this host/);
    await refused(t, ["web", "--proxy-protocol", "v2", "8053:53/udp"], /^pontoon: .*TCP only/);
    await host.container({ name: "bare", networks: [] });
    await refused(t, ["bare", "--all"], /^pontoon: bare exposes no port/);
  });

  await t.test("a port that is taken, and by whom: all or none", async (t) => {
    const range = ["web", "127.0.0.1:8100-8104:100-104"];
    for (const port of [8100, 8102, 8104]) {
      t.equal(await client.occupy("tcp", "127.0.0.1", port), "");
      await refused(
        t,
        range,
        new RegExp(`^pontoon: tcp port 127\\.0\\.0\\.1:${port} is taken \\(held by node, pid \\d+\\)`),
      );
      await client.vacate();
    }
    await published(t, "127.0.0.1:8102:80");
    await refused(t, range, /^pontoon: tcp port 8102 is taken: pontoon publishes it for web \(80\/tcp\)/);
    await refused(t, ["web", "8102:80"], /^pontoon: tcp port 8102 is taken: pontoon publishes it for web \(80\/tcp\)/);
    await refused(t, ["web", "8101:80", "8101:81"], /^pontoon: tcp port 8101 is taken: pontoon publishes it for web/);
    await host.container({ name: "dockers", networks: [], options: ["--publish=127.0.0.1:8103:99"] });
    await refused(
      t,
      ["web", "127.0.0.1:8100-8101:100-101", "8103:80"],
      /^pontoon: tcp port 8103 is taken: Docker publishes it for dockers \(99\/tcp\)/,
    );
    await host.exec(["ip", "address", "replace", "10.88.0.1/32", "dev", "lo"]);
    t.equal(await client.occupy("tcp", "10.88.0.1", 8103), "");
    await refused(t, ["web", "10.88.0.1:8103:80"], /^pontoon: tcp port 10\.88\.0\.1:8103 is taken \(held by node/);
    t.equal(await client.occupy("tcp", "127.0.0.1", 8105), "");
    t.equal(await client.occupy("tcp", "127.0.0.1", 8106), "");
    await refused(
      t,
      ["web", "127.0.0.1:8105-8106:80"],
      /^pontoon: no tcp port from 8105 to 8106 of 127\.0\.0\.1 is free/,
    );
    await client.vacate();
    await host.docker("rm", "--force", "dockers");
    await published(t, "127.0.0.1:8100-8101:100-101", "127.0.0.1:8103-8104:103-104");
  });

  await t.test("Docker's own are listed as `docker port` lists them", async (t) => {
    await host.container({
      name: "own",
      networks: [],
      options: ["--publish=8200:80", "--publish=127.0.0.1:8201:53/udp", "--publish=[::1]:8202:81"],
    });
    const dockers = bracketed(await host.docker("port", "own"));
    const ours = await pontoon.cli("port", "own");
    t.same(lines(ours).sort(), dockers);
    t.same(lines(await pontoon.cli("port", "own", "80")).sort(), bracketed(await host.docker("port", "own", "80")));
    t.same(
      lines(await pontoon.cli("port")).sort(),
      dockers.map((line) => `own ${line}`),
    );
    t.match((await pontoon.cli("port", "--long")).stdout, /^own +80\/tcp +0\.0\.0\.0:8200 +docker +open/m);
    await published(t, "8203:80");
    t.equal(lines(await pontoon.cli("port")).length, dockers.length + 2);
    await host.docker("rm", "--force", "own");
    t.match(await pontoon.cli("port", "own"), {
      exitCode: 1,
      stderr: /^pontoon: no container or sandbox is called own/,
    });
    t.match(await pontoon.cli("port", "web", "81"), { exitCode: 1, stderr: /^pontoon: web publishes no port 81/ });
  });

  await t.test("taken back by any of its names", async (t) => {
    await published(t, "8080:80", "127.0.0.1:8081:80", "8053:53/udp");
    t.same(lines(await pontoon.cli("unpublish", "web", "53/udp")), ["53/udp -> 0.0.0.0:8053", "53/udp -> [::]:8053"]);
    t.same(lines(await pontoon.cli("unpublish", "web", "127.0.0.1:8081:80")), ["80/tcp -> 127.0.0.1:8081"]);
    t.match(await pontoon.cli("unpublish", "web", "80", "99"), {
      exitCode: 1,
      stdout: "",
      stderr: /^pontoon: pontoon does not publish 99 of web[^\n]*\n$/,
    });
    t.same(lines(await pontoon.cli("unpublish", "web")), ["80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080"]);
    t.match(await pontoon.cli("unpublish", "web"), {
      exitCode: 1,
      stderr: /^pontoon: `pontoon publish` has published nothing of web/,
    });
    t.same(await sockets(host), before);
  });
});
