// While its container is down a published port refuses in the kernel, and stays ours: for 1 s, for 30 s, and with
// PONTOON_LONG=1 for 10 minutes. Beside that, other things that take their time.
import t, { type Test } from "tap";
import { Client, DockerHost, service, sockets, until, type Pontoon } from "../lab/index.js";

const addresses = ["127.0.0.1", "0.0.0.0", "::", "::1", "10.77.0.1"];

async function proxyPid(pontoon: Pontoon): Promise<number> {
  return ((await pontoon.status()) as { ports: { pid: number } }).ports.pid;
}

async function downFor(t: Test, seconds: number): Promise<void> {
  const host = await DockerHost.start(t);
  await host.outside();
  const client = new Client(host);
  const web = await service(host, { name: "web" });
  const pontoon = await host.pontoon();
  await pontoon.cli("publish", "web", "8080:80", "8053:53/udp");
  await client.answers("127.0.0.1", 8080);
  await web.stop();
  const began = performance.now();
  await client.refused("127.0.0.1", 8080);

  const looksDown = async () => {
    for (const ip of ["127.0.0.1", "::1", "10.77.0.1"]) {
      t.equal(await client.talk(ip, 8080, "x"), "ECONNREFUSED");
      t.match(await client.datagram(ip, 8053, { waitMs: 5000 }), { size: -1, error: "ECONNREFUSED" }, `UDP over ${ip}`);
    }
    for (const ip of addresses)
      for (const [protocol, port] of [
        ["tcp", 8080],
        ["udp", 8053],
      ] as const)
        t.equal(await client.occupy(protocol, ip, port), "EADDRINUSE", `nobody gets ${protocol} ${ip} ${port}`);
  };
  await looksDown();
  t.same(
    (await sockets(host)).filter((line) => line.startsWith("tcp")),
    [],
    "nothing listens",
  );
  const pid = await proxyPid(pontoon);
  await host.signal("SIGSTOP", pid);
  await looksDown();
  await host.signal("SIGCONT", pid);
  t.match(JSON.parse((await pontoon.cli("port", "web", "80", "--json")).stdout), {
    length: 2,
    0: { state: "refusing" },
    1: { state: "refusing" },
  });

  await until(() => performance.now() - began >= seconds * 1000, { timeoutMs: seconds * 1000 + 1000, everyMs: 100 });
  await looksDown();
  await web.start();
  for (const ip of ["127.0.0.1", "::1", "10.77.0.1"]) {
    await client.answers(ip, 8080);
    await until(async () => (await client.datagram(ip, 8053)).size === 10, { what: "UDP answers" });
  }
  t.equal(await proxyPid(pontoon), pid);
  t.equal(await client.occupy("tcp", "0.0.0.0", 8080), "EADDRINUSE");
}

t.jobs = 3;
for (const seconds of [1, 30, ...(process.env.PONTOON_LONG === "1" ? [600] : [])])
  t.test(`down for ${seconds} s`, { buffered: true, timeout: (seconds + 120) * 1000 }, (t) => downFor(t, seconds));

t.test("while everything else dies", { buffered: true }, async (t) => {
  const host = await DockerHost.start(t);
  const client = new Client(host);
  const web = await service(host, { name: "web", says: "web " });
  const pontoon = await host.pontoon();
  await pontoon.cli("publish", "web", "8080:80", "8053:53/udp");
  await web.stop();
  await client.refused("127.0.0.1", 8080);
  const looksDown = async (what: string) => {
    t.equal(await client.talk("127.0.0.1", 8080, "x"), "ECONNREFUSED", what);
    t.match(await client.datagram("127.0.0.1", 8053, { waitMs: 5000 }), { error: "ECONNREFUSED" }, what);
    t.equal(await client.occupy("tcp", "0.0.0.0", 8080), "EADDRINUSE", what);
    t.equal(await client.occupy("udp", "0.0.0.0", 8053), "EADDRINUSE", what);
  };

  const pid = await proxyPid(pontoon);
  const published = async () => ((await pontoon.status())["ports"] as { published: number }).published;
  const all = await published();
  await host.signal("SIGKILL", pid);
  await looksDown("pontoon-proxy is killed");
  await until(async () => ![undefined, pid].includes(await proxyPid(pontoon)), { what: "another runs" });
  await until(async () => (await published()) === all, { what: "it has been told everything" });
  await looksDown("another pontoon-proxy runs");

  await service(host, { name: "thief", says: "thief " }); // takes its address
  await pontoon.kill();
  await looksDown("the daemon is killed");
  const again = await host.pontoon();
  await looksDown("another daemon has taken over");
  await again.stop();
  await looksDown("it is stopped");
  const third = await host.pontoon();
  await host.docker("rm", "--force", "web");
  await looksDown("the container is removed");
  await service(host, { name: "web", says: "web " });
  await client.answers("127.0.0.1", 8080, "web ");
  await until(async () => (await client.datagram("127.0.0.1", 8053)).front === "web ", { what: "UDP answers" });
  await third.stop();
});
