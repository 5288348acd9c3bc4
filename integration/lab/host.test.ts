import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createInterface } from "node:readline";
import t from "tap";
import { DockerHost, forgedAddress, until, type TestOwner } from "./index.js";

/** An owner whose end the test decides. */
class Owner implements TestOwner {
  #handler: (() => Promise<void>) | undefined;
  teardown(handler: () => Promise<void>): void {
    this.#handler = handler;
  }
  async end(): Promise<void> {
    await this.#handler?.();
  }
}

t.test("a host runs containers", async (t) => {
  const host = await DockerHost.start(t, { resolvConf: "nameserver 10.77.0.2\n" });
  await host.network("blue");
  const outside = await host.outside();
  const upstream = await outside.dns();
  const web = await host.container({ name: "web", networks: [{ name: "blue", aliases: ["shop"] }] });
  const client = await host.container({ name: "client", networks: ["blue"] });

  await t.test("they resolve each other", async (t) => {
    const answer = await client.dig("Shop");
    t.equal(answer.rcode, "NOERROR");
    t.equal(answer.questionName, "Shop");
    t.same(answer.addresses, [await web.ip("blue")]);
    t.same((await client.dig("web", "A", { tcp: true })).addresses, [await web.ip("blue")]);
    t.match((await client.digCommand("+short", "web")).stdout, await web.ip("blue"));
    t.match((await client.exec(["nslookup", "web"])).stdout, await web.ip("blue"));
  });

  await t.test("the upstream answers as told", async (t) => {
    await upstream.answer("Example.test", "A", ["192.0.2.1", "192.0.2.2"], { ttl: 30 });
    await upstream.answer("note.test", "TXT", "hello");
    await upstream.rcode("broken.test", "SERVFAIL");
    await upstream.truncate("long.test");
    await upstream.answer("long.test", "A", "192.0.2.9");
    t.same((await client.dig("example.test")).addresses.sort(), ["192.0.2.1", "192.0.2.2"]);
    t.same((await client.dig("note.test", "TXT")).answers[0]?.data, ["hello"]);
    t.equal((await client.dig("broken.test", "A", { timeoutMs: 10_000 })).rcode, "SERVFAIL");
    t.equal((await client.dig("unknown.test")).rcode, "NXDOMAIN");
    t.equal((await client.dig("long.test")).flags.tc, true);
    t.same((await client.dig("long.test", "A", { tcp: true })).addresses, ["192.0.2.9"]);
    const seen = await upstream.queries();
    t.match(seen[0], {
      name: "example.test",
      type: "A",
      transport: "udp",
      from: outside.hostAddress,
      flags: { rd: true },
    });
    t.equal(seen.at(-1)?.transport, "tcp");
  });

  await t.test("the upstream forges, delays, is silent and goes away", async (t) => {
    const probe = outside.probe();
    const server = upstream.address;
    await upstream.answer("true.test", "A", "192.0.2.7");
    await upstream.forge("true.test", "wrong-question");
    t.same((await probe.dig("true.test", "A", { server })).questionName, "not.true.test");
    await upstream.forge("true.test", "wrong-source", { thenTruth: true });
    t.same((await probe.dig("true.test", "A", { server })).addresses, ["192.0.2.7"]);
    await upstream.forge("true.test", "wrong-id");
    t.same((await probe.dig("true.test", "A", { server })).addresses, [forgedAddress]);
    await upstream.reset();
    await upstream.delay(100);
    t.ok((await probe.dig("late.test", "A", { server })).elapsedMs >= 99);
    await upstream.silence(true);
    await t.rejects(probe.dig("silent.test", "A", { server, timeoutMs: 150 }), /no answer/);
    await upstream.stop();
    await t.rejects(probe.dig("gone.test", "A", { server }), /ECONNREFUSED/);
    await upstream.reset();
    await upstream.start();
    t.equal((await probe.dig("back.test", "A", { server })).rcode, "NXDOMAIN");
  });

  await t.test("commands run in the host and in a container's network", async (t) => {
    t.equal((await host.exec(["hostname"])).stdout.trim(), host.name);
    t.match((await host.exec(["ip", "-brief", "address"], { netns: "web" })).stdout, await web.ip("blue"));
    t.equal((await host.exec(["cat"], { input: "fed" })).stdout, "fed");
    t.equal((await host.exec(["sh", "-c", "exit 3"], { reject: false })).exitCode, 3);
    await t.rejects(host.exec(["false"]), { name: "CommandError", result: { exitCode: 1 } });
    await t.rejects(host.exec(["sleep", "1000"], { timeoutMs: 50 }), /still running/);
    await until(async () => !(await host.exec(["ps", "ax"])).stdout.includes("sleep 1000\n"), {
      what: "the late command is killed",
    });
  });

  await t.test("a probe lets go of its container's namespace", async (t) => {
    const brief = await host.container({ name: "brief", networks: ["blue"] });
    const links = async () => (await host.exec(["ip", "-o", "link"])).stdout.match(/veth\w+@/g)?.length;
    const before = await links();
    t.equal((await brief.dig("web")).rcode, "NOERROR");
    await host.docker("kill", "brief"); // behind the object's back
    await until(async () => (await links()) === before! - 1, { what: "the veth pair is gone" });
    await brief.start();
    t.equal((await brief.dig("web")).rcode, "NOERROR");
    await brief.restart();
    t.equal((await brief.dig("web")).rcode, "NOERROR");
    await brief.rename("short");
    t.equal(await brief.name(), "short");
    await brief.remove();
    await t.rejects(brief.pid(), { name: "EngineError", status: 404 });
  });

  await t.test("many queries are tallied", async (t) => {
    const probe = await client.probe();
    t.match(await probe.burst("web", 100), { sent: 100, rcodes: { NOERROR: 100 }, errors: { length: 0 } });
    const stop = probe.digSteadily("web", { everyMs: 2 });
    await until(async () => (await web.inspect()).State.Running);
    const tally = await stop();
    t.equal(tally.rcodes["NOERROR"], tally.sent);
  });
});

t.test("containers outlive dockerd with live restore", async (t) => {
  const host = await DockerHost.start(t, { liveRestore: true });
  const network = await host.network("blue", { subnet: "10.9.0.0/24", internal: true });
  const web = await host.container({ name: "web" });
  await network.connect(web, { ip: "10.9.0.9", aliases: ["shop"] });
  const pid = await web.pid();
  await host.restartDockerd();
  t.equal(await web.pid(), pid);
  await host.stopDockerd({ signal: "SIGKILL" });
  t.match((await host.exec(["ps", "ax"])).stdout, "sleep 1000000");
  await host.startDockerd();
  t.equal(await web.pid(), pid);
  t.equal(await web.ip("blue"), "10.9.0.9");
});

t.test("a dockerd that does not start says why", async (t) => {
  const owner = new Owner();
  t.teardown(() => owner.end());
  await t.rejects(DockerHost.start(owner, { dockerd: ["--no-such-option"] }), /unknown flag/);
});

t.test("two hosts share a link", async (t) => {
  const [east, west] = await Promise.all([DockerHost.start(t), DockerHost.start(t)]);
  const link = await east.join(west);
  const { stdout } = await east.exec(["busybox", "ping", "-c1", "-W5", link.otherAddress]);
  t.match(stdout, "1 packets received");
});

t.test("nothing is left behind", async (t) => {
  const owner = new Owner();
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const host = await DockerHost.start(owner);
  const web = await host.container({ options: ["--publish=8080:80"] });
  await web.probe();
  const namespaces = namespacesOf(host.path("/proc/1"));
  t.ok(processesIn(namespaces) > 5);
  t.not(filesNamed(host.name), "");
  await owner.end();
  t.equal(processesIn(namespaces), 0);
  t.equal(filesNamed(host.name), "");
  t.equal(readFileSync("/proc/self/mountinfo", "utf8"), mounts);
});

for (const signal of ["SIGINT", "SIGKILL"] as const)
  t.test(`nothing is left behind by a test process ended by ${signal}`, async (t) => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", unfinishedTest], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.teardown(() => child.kill("SIGKILL"));
    const [line] = (await once(createInterface(child.stdout), "line")) as [string];
    const { name, init } = JSON.parse(line) as { name: string; init: string };
    const namespaces = namespacesOf(init);
    t.ok(processesIn(namespaces) > 5);
    child.kill(signal);
    await until(() => processesIn(namespaces) === 0, { what: "no process is left" });
    await until(() => filesNamed(name) === "", { what: "no control group is left" });
  });

const unfinishedTest = `
  import { DockerHost } from ${JSON.stringify(new URL("index.js", import.meta.url).href)};
  const host = await DockerHost.start({ teardown() {} });
  const web = await host.container();
  await web.probe();
  console.log(JSON.stringify({ name: host.name, init: host.path("/proc/1") }));
`;

/** The namespaces of a process that a host does not share with the machine. */
function namespacesOf(process: string): string[] {
  return ["pid", "net", "mnt", "uts"].map((kind) => readlinkSync(`${process}/ns/${kind}`));
}

/** How many of the machine's processes are in one of the namespaces. */
function processesIn(namespaces: readonly string[]): number {
  const processes = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  return processes.filter((pid) => {
    try {
      return namespacesOf(`/proc/${pid}`).some((namespace) => namespaces.includes(namespace));
    } catch {
      return false; // it has just ended
    }
  }).length;
}

/** Files named after a host where it could leave some. */
function filesNamed(name: string): string {
  // Its exit code tells of folders of other hosts that vanished meanwhile.
  return spawnSync("find", ["/sys/fs/cgroup/", "/run/", "/tmp/", "-name", `*${name}*`], { encoding: "utf8" }).stdout;
}
