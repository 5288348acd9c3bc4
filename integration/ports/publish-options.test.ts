// What a publication can be told: PROXY protocol, who is served, how many, for how long; and that the firewall is obeyed.
import { readdirSync, statSync } from "node:fs";
import t from "tap";
import { Client, DockerHost, service, sockets, until, type Outside } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";

/** From outside, over TCP. */
async function talkFrom(outside: Outside, port: number, text: string): Promise<string> {
  const { stdout, stderr } = await outside.exec(["busybox", "nc", "-w", "3", outside.hostAddress, String(port)], {
    input: text,
    reject: false,
  });
  return stdout + stderr.replace(/^.*(refused|timed out|reset by peer).*\n$/s, "$1");
}

/** Lets a process have so many descriptors more, and no others. */
async function leaveDescriptors(host: DockerHost, pid: number, count: number): Promise<void> {
  const open = new Set(readdirSync(host.path(`/proc/${pid}/fd`)).map(Number));
  let limit = 0;
  for (let free = 0; free < count; limit++) if (!open.has(limit)) free++;
  await setDescriptors(host, pid, limit);
}

/** By the process's own user: root may lack CAP_SYS_RESOURCE. */
async function setDescriptors(host: DockerHost, pid: number, limit: number): Promise<void> {
  const { uid } = statSync(host.path(`/proc/${pid}`));
  await host.exec([
    "setpriv",
    `--reuid=${uid}`,
    `--regid=${uid}`,
    "--clear-groups",
    "prlimit",
    `--pid=${pid}`,
    `--nofile=${limit}:`,
  ]);
}

t.test("options", async (t) => {
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  const client = new Client(host);
  const web = await service(host, { name: "web" });
  const pontoon = await host.pontoon();
  t.afterEach(async () => void (await pontoon.cli("unpublish", "web")));
  const publish = async (...args: string[]) => {
    const { stderr, exitCode } = await pontoon.cli("publish", "web", ...args);
    if (exitCode !== 0) throw new Error(stderr);
  };

  await t.test("the host's firewall is obeyed, which Docker's own -p does not", async (t) => {
    await service(host, { name: "dockers", options: ["--publish=8081:80"] });
    await publish("8080:80");
    await client.answers("127.0.0.1", 8080);
    await client.answers("127.0.0.1", 8081);
    t.equal(await talkFrom(outside, 8080, "ours"), "ours");
    t.equal(await talkFrom(outside, 8081, "Docker's"), "Docker's");
    await host.exec([
      "nft",
      "add table inet fw; add chain inet fw input { type filter hook input priority 0; }; " +
        "add rule inet fw input iifname outside tcp dport { 8080, 8081 } drop",
    ]);
    t.not(await talkFrom(outside, 8080, "ours"), "ours", "dropped");
    t.equal(await talkFrom(outside, 8081, "Docker's"), "Docker's", "Docker's goes by");
    await client.answers("127.0.0.1", 8080);
    await host.exec(["nft", "delete", "table", "inet", "fw"]);
    t.equal(await talkFrom(outside, 8080, "ours"), "ours");
    await host.docker("rm", "--force", "dockers");
  });

  await t.test("the container is told who its clients are: PROXY protocol v1 and v2", async (t) => {
    await publish("--proxy-protocol", "v1", "8080:80");
    await until(async () => (await talkFrom(outside, 8080, "GET")).endsWith("GET"), { what: "it answers" });
    t.match(await talkFrom(outside, 8080, "GET"), /^PROXY TCP4 10\.77\.0\.2 10\.77\.0\.1 \d+ 8080\r\nGET$/);
    t.match(await client.talk("::1", 8080, "GET"), /^PROXY TCP6 ::1 ::1 \d+ 8080\r\nGET$/);
    await publish("--proxy-protocol", "v2", "8081:80");
    const header = Buffer.from(await client.talk("127.0.0.1", 8081, "GET"), "latin1");
    t.equal(header.subarray(0, 12).toString("latin1"), "\r\n\r\n\0\r\nQUIT\n");
    t.same([...header.subarray(12, 24)], [0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1]);
    t.equal(header.readUInt16BE(26), 8081);
    t.equal(header.subarray(28).toString(), "GET");
  });

  await t.test("and by trusted proxies, who the clients of these are", async (t) => {
    await publish(
      "--accept-proxy-protocol",
      "10.77.0.0/24",
      "--accept-proxy-protocol",
      "fd00::/8",
      "--proxy-protocol",
      "v1",
      "8080:80",
    );
    await until(async () => (await client.talk("127.0.0.1", 8080, "GET")).endsWith("GET"), { what: "it answers" });
    t.match(
      await client.talk("127.0.0.1", 8080, "GET"),
      /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ 8080\r\nGET$/,
      "others speak for themselves",
    );
    t.match(
      await client.talk("127.0.0.1", 8080, "PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\nGET"),
      /^PROXY TCP4 127\.0\.0\.1 .*\r\nPROXY TCP4 192\.0\.2\.1/,
      "and are not believed",
    );
    t.equal(
      await talkFrom(outside, 8080, "PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\nGET"),
      "PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\nGET",
    );
    t.not(await talkFrom(outside, 8080, "GET / HTTP/1.0\r\n\r\n"), "GET / HTTP/1.0\r\n\r\n", "a trusted one must say");
    t.match(JSON.parse((await pontoon.cli("port", "web", "80", "--json")).stdout), {
      length: 2,
      0: { refused: 1 },
      1: { refused: 0 },
    });
  });

  await t.test("only these networks; others are reset", async (t) => {
    await publish("--allow", "127.0.0.0/8", "--allow", "::1", "8080:80", "8053:53/udp");
    await client.answers("127.0.0.1", 8080);
    await client.answers("::1", 8080);
    t.match(await talkFrom(outside, 8080, "x"), /^(|reset by peer)$/);
    t.match(await client.datagram("127.0.0.1", 8053), { size: 10 });
    await outside.exec(["bash", "-c", `echo x >/dev/udp/${outside.hostAddress}/8053`]);
    await until(
      async () => {
        const rows = JSON.parse((await pontoon.cli("port", "web", "--json")).stdout) as {
          transport: string;
          ip: string;
          refused: number;
        }[];
        return rows.filter(({ ip, refused }) => ip === "0.0.0.0" && refused >= 1).length === 2;
      },
      { what: "both are counted" },
    );
  });

  await t.test("so many at a time; the next waits", async (t) => {
    await publish("--max-connections", "2", "127.0.0.1:8080:80");
    await client.answers("127.0.0.1", 8080);
    const [one, two] = [await client.connect("127.0.0.1", 8080), await client.connect("127.0.0.1", 8080)];
    t.same([await client.say(one, "1"), await client.say(two, "2")], ["heard", "heard"]);
    const third = client.talk("127.0.0.1", 8080, "third");
    t.match(JSON.parse((await pontoon.cli("port", "web", "80", "--json")).stdout), {
      length: 1,
      0: { connections: 2 },
    });
    await client.hangUp(one);
    t.equal(await third, "third");
    await client.hangUp(two);
  });

  await t.test("drain: connections go on for a time after their port was unpublished", async (t) => {
    await publish("--drain", "3", "127.0.0.1:8080:80");
    await client.answers("127.0.0.1", 8080);
    const connection = await client.connect("127.0.0.1", 8080);
    t.equal(await client.say(connection, "before"), "heard");
    await pontoon.cli("unpublish", "web");
    t.equal(await client.talk("127.0.0.1", 8080, "x"), "ECONNREFUSED");
    t.equal(await client.say(connection, "after"), "heard");
    t.same(await sockets(host), [], "the port is free");
    t.equal(await client.occupy("tcp", "127.0.0.1", 8080), "");
    await client.vacate();
    await until(async () => (await client.state(connection)) === "ECONNRESET", {
      what: "then it ends",
      timeoutMs: 10_000,
    });
  });

  await t.test("a client's connection while its port is published again, and the daemon is told to end", async (t) => {
    await publish("--drain", "60", "127.0.0.1:8080:80");
    await client.answers("127.0.0.1", 8080);
    const connection = await client.connect("127.0.0.1", 8080);
    t.equal(await client.say(connection, "before"), "heard");
    await pontoon.cli("unpublish", "web");
    await publish("--drain", "0", "127.0.0.1:8080:80");
    await client.answers("127.0.0.1", 8080);
    t.equal(await client.say(connection, "published again"), "heard");
    await pontoon.cli("unpublish", "web");
    const ended = pontoon.stop("SIGINT");
    t.equal(await client.say(connection, "the daemon ends"), "heard");
    await client.hangUp(connection);
    t.equal(await ended, 0);
    await until(() => pontoon.processes().length === 0, { what: "no process is left" });
  });

  t.equal((await web.inspect()).State.Running, true);
});

t.test("too few descriptors or privileges", async (t) => {
  const host = await DockerHost.start(t);
  const client = new Client(host);
  await service(host, { name: "web" });
  const pontoon = await host.pontoon();
  await pontoon.cli("publish", "web", "127.0.0.1:8080:80");
  await client.answers("127.0.0.1", 8080);
  const before = await sockets(host);

  await t.test("of the daemon: nothing is half-done", async (t) => {
    await leaveDescriptors(host, pontoon.pid, 20);
    const refused = await pontoon.cli("publish", "web", "127.0.0.1:9000-9099:1000-1099");
    t.match(refused, {
      exitCode: 1,
      stdout: "",
      stderr: /^pontoon: no descriptor \(or memory\) is left for tcp port [^\n]*LimitNOFILE[^\n]*\n$/,
    });
    t.same(await sockets(host), before);
    t.same((await pontoon.cli("port")).stdout, "web 80/tcp -> 127.0.0.1:8080\n");
    t.equal(
      (await pontoon.cli("publish", "web", "127.0.0.1:9000:80")).stdout,
      "80/tcp -> 127.0.0.1:9000\n",
      "the daemon lives",
    );
    await client.answers("127.0.0.1", 9000);
    await pontoon.cli("unpublish", "web", "127.0.0.1:9000:80");
    await setDescriptors(host, pontoon.pid, 4096);
    t.equal((await pontoon.cli("publish", "web", "127.0.0.1:9000-9099:1000-1099")).exitCode, 0);
    await pontoon.cli("unpublish", "web", "127.0.0.1:9000-9099:1000-1099");
  });

  await t.test("of pontoon-proxy: nothing is half-done", async (t) => {
    const { pid } = ((await pontoon.status()) as { ports: { pid: number } }).ports;
    await leaveDescriptors(host, pid, 20);
    const refused = await pontoon.cli("publish", "web", "127.0.0.1:9000-9099:1000-1099");
    t.match(refused, { exitCode: 1, stdout: "", stderr: /^pontoon: no descriptor is left in pontoon-proxy[^\n]*\n$/ });
    t.same(await sockets(host), before);
    t.same((await pontoon.cli("port")).stdout, "web 80/tcp -> 127.0.0.1:8080\n");
    await client.answers("127.0.0.1", 8080);
    await setDescriptors(host, pid, 4096);
    t.equal((await pontoon.cli("publish", "web", "127.0.0.1:9000-9099:1000-1099")).exitCode, 0);
    await pontoon.cli("unpublish", "web", "127.0.0.1:9000-9099:1000-1099");
  });

  await t.test("no CAP_NET_BIND_SERVICE", async (t) => {
    await pontoon.killEverything();
    const wrapper = "/opt/without-bind";
    host.writeFile(
      wrapper,
      `#!/bin/sh
exec setpriv --bounding-set=-net_bind_service --inh-caps=-net_bind_service \\
  ${process.execPath} ${repositoryRoot}/bin/pontoon "$@"
`,
    );
    await host.exec(["chmod", "755", wrapper]);
    const weak = await host.pontoon({ installed: wrapper });
    t.match(await weak.cli("publish", "web", "8090:80", "127.0.0.1:443:80"), {
      exitCode: 1,
      stdout: "",
      stderr: /^pontoon: tcp port 127\.0\.0\.1:443 is privileged, and the daemon may not bind it[^\n]*\n$/,
    });
    t.same(await sockets(host), before);
    await client.answers("127.0.0.1", 8080);
    await weak.stop();
  });
});
