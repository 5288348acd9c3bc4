import t from "tap";
import { DockerHost, until, type Container } from "../lab/index.js";

/** TTL of pontoon's own records; Docker says 600. */
const ownTtl = 5;

async function isOwn(container: Container, name: string): Promise<boolean> {
  const reply = await container.dig(name, "A", { timeoutMs: 300 }).catch(() => undefined);
  return reply?.answers[0]?.ttl === ownTtl;
}

t.test("a container with thousands of exposed ports is one like any other", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const client = await host.container({ name: "client", networks: ["n1"] });
  const pontoon = await host.pontoon();
  const wide = await host.container({ name: "wide", networks: ["n1"], options: ["--expose=1-12000"] });
  await pontoon.answersIn(client, wide);
  t.match((await client.dig("_11999._tcp.wide", "SRV")).answers, {
    length: 1,
    0: { data: { port: 11_999, target: "wide.n1" } },
  });
  t.ok(await isOwn(client, "client"));
  await pontoon.stop();
});

t.test("a container that comes back while it is being let go is served again", async (t) => {
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  const upstream = await outside.dns();
  await upstream.silence(true);
  const network = await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"], options: [`--dns=${outside.address}`] });
  const pontoon = await host.pontoon();
  await pontoon.answersIn(web);
  const pending = web.dig("slow.example", "A", { timeoutMs: 5000 }).catch(() => undefined);
  await until(async () => (await upstream.queries()).length > 0, { what: "a question is under way" });
  await network.disconnect(web);
  await network.connect(web);
  await until(() => isOwn(web, "web"), { timeoutMs: 12_000, what: "pontoon answers it again" });
  t.pass("pontoon answers it again");
  await pending;
  await pontoon.stop();
});

t.test("a pontoon-dns that hangs is replaced, and status does not call it well", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon();
  const pid = ((await pontoon.status()) as { dns: { pid: number } }).dns.pid;
  await host.signal("SIGSTOP", pid);
  await until(async () => ((await pontoon.status()) as { dns: { pid?: number } }).dns.pid !== pid, {
    timeoutMs: 20_000,
    what: "it is found to hang",
  });
  await until(() => isOwn(web, "web"), { timeoutMs: 12_000, what: "its successor answers" });
  t.equal((await host.exec(["test", "-d", `/proc/${pid}`], { reject: false })).exitCode, 1, "and it is gone");
  await pontoon.stop();
});

t.test("while the daemon is dead, a new container is found through Docker's resolver", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon({ config: "dns:\n  orphan-after: 2\n" });
  await pontoon.answersIn(web);
  await pontoon.kill();
  const fresh = await host.container({ name: "fresh", networks: ["n1"] });
  t.same((await web.dig("fresh")).addresses, [await fresh.ip("n1")]);
  t.ok(await isOwn(web, "web"), "and known names are still pontoon's");

  // orphan-after and then the takeover's 6 s: a daemon that comes back in between finds the server letting go.
  await until(
    async () =>
      (await host.exec(["nft", "list", "set", "ip", "pontoon", "armed"], { netns: web })).stdout.match(
        /expires [0-3]s/,
      ) !== null,
    {
      timeoutMs: 10_000,
      what: "the takeover is about to lapse",
    },
  );
  const again = await host.pontoon();
  await again.answersIn(web, fresh);
  t.ok(await isOwn(web, "fresh"), "a daemon that returns in between takes over again");
  await again.stop();
});

t.test("two daemons do not fight over the same containers", async (t) => {
  const host = await DockerHost.start(t);
  const pontoon = await host.pontoon();
  const second = await pontoon.cli("daemon", "--run-dir=/run/other");
  t.equal(second.exitCode, 1);
  t.match(
    second.stderr,
    /^pontoon: another pontoon daemon follows \S+; stop it first, `systemctl stop pontoon` if it is the installed one\n$/,
  );
  await pontoon.stop();
  t.equal(
    (await host.exec(["sh", "-c", "ls -A /run | grep pontoon- || true"])).stdout,
    "",
    "the lock is gone with its holder",
  );
  const tooLong = await pontoon.cli("daemon", `--run-dir=/run/${"x".repeat(120)}`);
  t.equal(tooLong.exitCode, 1);
  t.match(tooLong.stderr, /too long for a unix socket/);
});
