import { join } from "node:path";
import t from "tap";
import { DockerHost, until, type Container } from "../lab/index.js";
import { repositoryRoot } from "../lab/root.js";

const dockersTtl = 600;

async function ttlOf(container: Container): Promise<number | undefined> {
  return (await container.dig("web")).answers[0]?.ttl;
}

t.test("SIGHUP: the configuration is read again, and nothing that goes on is disturbed", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon({ config: "dns:\n  ttl: 5\n", args: ["--log-level=info"] });
  await pontoon.answersIn(web);
  const server = ((await pontoon.status()) as { dns: { pid: number } }).dns.pid;
  const reload = async (config: string, said: RegExp) => {
    const before = pontoon.logs.length;
    host.writeFile("/etc/pontoon/pontoon.yaml", config);
    await host.signal("SIGHUP", pontoon.pid);
    await until(() => pontoon.logs.slice(before).some((line) => said.test(line)), { what: `the log says ${said}` });
  };
  const steadily = (await web.probe()).digSteadily("web", { everyMs: 5 });

  await reload(
    "log-level: silent\ndns:\n  ttl: 9\n  query-log: true\nports:\n  drain: 3\n",
    /"applied":\["dns.ttl","dns.query-log"\],"atNextStart":\["ports.drain"\],"msg":"the configuration was read again; some of it counts from the next start on"/,
  );
  await until(async () => (await ttlOf(web)) === 9, { what: "the new TTL counts" });
  await until(() => pontoon.logs.some((line) => line.includes('"msg":"query"')), { what: "queries are logged" });
  t.match((await pontoon.cli("dns", "records")).stdout, /9 s/);

  await reload(
    "dns:\n  tll: 3\n",
    /"code":"CONFIG_INVALID","reason":"\S+: unknown key dns.tll.*"msg":"the configuration cannot be used; the one that was read before stays in effect"/,
  );
  await reload("dns: [", /"code":"CONFIG_INVALID".*not YAML/);
  await host.exec(["rm", "/etc/pontoon/pontoon.yaml"]);
  await host.signal("SIGHUP", pontoon.pid);
  await until(() => pontoon.logs.some((line) => line.includes("CONFIG_UNREADABLE")), {
    what: "a file that is gone is told",
  });
  t.equal(await ttlOf(web), 9, "what was read before goes on");

  for (const [from, shown] of [
    ["host", /^host\(/],
    ["container", /^\d/],
  ] as const) {
    await reload(`dns:\n  ttl: 9\n  forward-from: ${from}\n`, /"applied":\[.*"dns.forward-from"/);
    await pontoon.waitUntil((status) =>
      (status as { containers: { upstreams: string[] }[] }).containers.every(({ upstreams }) =>
        shown.test(upstreams[0]!),
      ),
    );
  }
  await reload(
    "dns:\n  ttl: 9\n  orphan-after: 1\n",
    /"applied":\["dns.forward-from","dns.orphan-after"\],"atNextStart":\[\]/,
  );
  const tally = await steadily();
  t.same(tally.errors, []);
  t.same(Object.keys(tally.rcodes), ["NOERROR"]);
  t.match(await pontoon.status(), { pid: pontoon.pid, dns: { pid: server } });
  await pontoon.kill();
  await until(async () => (await ttlOf(web)) === dockersTtl, {
    timeoutMs: 20_000,
    what: "pontoon-dns lets go as soon as it is now told to",
  });
  await pontoon.killEverything();
});

t.test("a daemon whose terminal was closed ends, and gives everything back", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const command = [process.execPath, join(repositoryRoot, "bin", "pontoon"), "daemon"];
  const terminal = await host.startProgram([
    "sh",
    "-c",
    `echo $$; exec script -qfc 'echo $$ >/run/daemon.pid; exec ${command.join(" ")}' /dev/null </dev/zero >/dev/null`,
  ]);
  await until(async () => (await ttlOf(web)) === 5, { timeoutMs: 20_000, what: "pontoon answers" });
  await host.signal("SIGKILL", terminal);
  await until(async () => (await ttlOf(web)) === dockersTtl, { timeoutMs: 20_000, what: "Docker answers" });
  const isThere = async () =>
    (await host.exec(["sh", "-c", "kill -0 $(cat /run/daemon.pid)"], { reject: false })).exitCode === 0;
  await until(async () => !(await isThere()), { what: "the daemon has ended" });
});
