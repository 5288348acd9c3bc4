import t from "tap";
import {
  DockerHost,
  lostWithRoom,
  until,
  type Container,
  type DockerHostOptions,
  type Flow,
  type Pontoon,
  type TestOwner,
} from "../lab/index.js";

/** What a server may have taken from its socket and not answered yet when it is killed. */
const batchSize = 64;
/** TTL of pontoon's own records, and of Docker's. */
const ownTtl = 5;
const dockersTtl = 600;
const resolvConf = "nameserver 10.77.0.2\n"; // where a host's outside is

async function serverPid(pontoon: Pontoon): Promise<number | undefined> {
  return ((await pontoon.status()) as { dns: { pid?: number } }).dns.pid;
}

/** A host with pontoon on it, and a container that it answers. */
async function setUp(
  t: TestOwner,
  options: DockerHostOptions = {},
): Promise<{ host: DockerHost; web: Container; pontoon: Pontoon }> {
  const host = await DockerHost.start(t, options);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon();
  await pontoon.answersIn(web);
  return { host, web, pontoon };
}

async function ttlOf(client: Container, name: string): Promise<number | undefined> {
  return (await client.dig(name, "A", { timeoutMs: 5_000 })).answers[0]?.ttl;
}

/** Waits until this long after `began`, and looks meanwhile. @returns what was seen, without repetition */
async function watchUntil<Seen>(began: number, seconds: number, look: () => Promise<Seen>): Promise<Seen[]> {
  const seen = new Set<Seen>();
  const isOver = async () => {
    seen.add(await look());
    return performance.now() - began > seconds * 1000;
  };
  await until(isOver, { timeoutMs: seconds * 1000 + 60_000, everyMs: 200, what: `${seconds} s have passed` });
  return [...seen];
}

/** Waits until this many more queries have been asked. */
async function flowsOn(flow: Flow, more: number): Promise<void> {
  const { sent } = await flow.soFar();
  await until(async () => (await flow.soFar()).sent >= sent + more, { timeoutMs: 20_000, what: "queries flow" });
}

t.test("kill -9 of pontoon-dns under 20,000 queries a second loses the batch in hand at most", async (t) => {
  const { host, web, pontoon } = await setUp(t);
  const flow = await web.flow("web");
  await flowsOn(flow, 10_000);
  const pid = (await serverPid(pontoon))!;
  await host.signal("SIGKILL", pid);
  await flowsOn(flow, 20_000);
  const tally = await flow.stop();
  t.comment(`silent for ${tally.longestSilence.toFixed(0)} ms; ${tally.lost} of ${tally.sent} queries lost`);
  t.not(await serverPid(pontoon), pid, "another pontoon-dns answers");
  t.ok(
    lostWithRoom(tally) <= batchSize,
    `lost ${tally.lost} of ${tally.sent}, ${tally.dropped} of them for want of room`,
  );
  t.match(tally, { failed: 0, wrong: 0 }, "what is asked again is answered");
  t.same(Object.keys(tally.ttls), [ownTtl], "by pontoon alone");
  await pontoon.stop();
});

t.test("what takes its time, at the same time", (t) => {
  t.jobs = 3;

  t.test("kill -9 of the daemon: pontoon-dns answers for a minute, then Docker", { buffered: true }, async (t) => {
    const { web, pontoon } = await setUp(t);
    await pontoon.kill();
    const killed = performance.now();
    t.same(await watchUntil(killed, 55, () => ttlOf(web, "web")), [ownTtl], "pontoon answers, 30 s later and more");
    const seen = await watchUntil(killed, 90, () => ttlOf(web, "web"));
    t.same(seen, [ownTtl, dockersTtl], "nobody ever waited in vain, and it went to Docker once");
    t.equal(await ttlOf(web, "web"), dockersTtl, "90 s later Docker answers");
    t.same(pontoon.processes(), [], "pontoon-dns has ended");
  });

  t.test("kill -9 of the daemon: one that is started in between adopts everything", { buffered: true }, async (t) => {
    const { host, web, pontoon } = await setUp(t, { resolvConf });
    await (await host.outside()).dns(); // says that what is not here is nowhere
    const others = await Promise.all(
      ["one", "two", "three"].map((name) =>
        host.container({ name, networks: [{ name: "n1", aliases: name === "two" ? ["pair"] : [] }] }),
      ),
    );
    const restarted = await host.container({ name: "restarted", networks: [{ name: "n1", aliases: ["pair"] }] });
    await pontoon.answersIn(...others);
    const pid = await serverPid(pontoon);
    const ports = await Promise.all([web, ...others].map((container) => takeoverPort(host, container)));
    await pontoon.kill();
    const killed = performance.now();
    const fresh = await host.container({ name: "fresh", networks: ["n1"] });
    await others[0]!.remove();
    await host.docker("network", "disconnect", "n1", "three");
    await restarted.restart();
    const pair = await Promise.all([others[1]!, restarted].map((container) => container.ip("n1")));
    for (const options of [{}, { tcp: true }]) {
      t.same(
        (await web.dig("fresh", "A", options)).addresses,
        [await fresh.ip("n1")],
        "what has come is known while nobody tells",
      );
      t.equal((await web.dig("one", "A", options)).rcode, "NXDOMAIN", "what has gone is gone");
      t.same((await web.dig("pair", "A", options)).addresses.sort(), pair.sort(), "who was restarted is there again");
      t.same((await web.dig("PAIR", "A", options)).addresses.length, 2, "in any letter case");
      t.equal(
        (await web.dig("_80._tcp.fresh", "SRV", options)).rcode,
        "SERVFAIL",
        "and what cannot be known is not denied",
      );
    }
    t.same(await watchUntil(killed, 30, () => ttlOf(web, "two")), [ownTtl], "30 s later pontoon answers");
    const again = await host.pontoon();
    await again.answersIn(web, fresh, others[1]!);
    t.equal(await serverPid(again), pid, "it is the same server");
    t.same(
      [await takeoverPort(host, web), await takeoverPort(host, others[1]!)],
      [ports[0], ports[2]],
      "with the same sockets",
    );
    t.notMatch(
      (await host.exec(["nft", "list", "tables"], { netns: others[2]! })).stdout,
      /pontoon/,
      "what is not wanted any more is given back",
    );
    t.equal(await ttlOf(web, "fresh"), ownTtl, "what has come is known");
    t.equal((await web.dig("one")).rcode, "NXDOMAIN", "what has gone is forgotten");
    t.same(await watchUntil(killed, 75, () => ttlOf(web, "web")), [ownTtl], "and the minute is no longer counted");
    await again.stop();
  });

  for (const signal of ["SIGTERM", "SIGKILL"] as const)
    t.test(
      `dockerd ended by ${signal} and gone for 10 s: every name goes on resolving`,
      { buffered: true },
      async (t) => {
        const { host, web, pontoon } = await setUp(t, { liveRestore: true, resolvConf });
        const upstream = await (await host.outside()).dns();
        await upstream.answer("example.test", "A", "192.0.2.1", { ttl: 0 }); // not kept: asked for each time
        const [doomed, other] = await Promise.all([
          host.container({ name: "doomed", networks: ["n1"] }),
          host.container({ name: "other", networks: ["n1"] }),
        ]);
        await pontoon.answersIn(doomed, other);
        const [otherAddress, doomedPid] = [await other.ip("n1"), await doomed.pid()];
        const probe = await web.probe();
        const flows = ["other", "example.test"].map((name) =>
          probe.digSteadily(name, { everyMs: 100, timeoutMs: 10_000 }),
        );
        await host.stopDockerd({ signal });
        const stopped = performance.now();
        await host.signal("SIGKILL", doomedPid);
        t.same(await watchUntil(stopped, 10, async () => (await web.dig("other")).addresses.join()), [otherAddress]);
        await host.startDockerd();
        await until(
          async () => ((await pontoon.status()) as { docker: { state: string } }).docker.state === "following",
          { timeoutMs: 20_000, what: "dockerd is followed again" },
        );
        const fresh = await host.container({ name: "fresh", networks: ["n1"] });
        await pontoon.answersIn(fresh);
        for (const { sent, rcodes, errors } of await Promise.all(flows.map((end) => end())))
          t.same([rcodes, errors], [{ NOERROR: sent }, []], `none of ${sent} fails`);
        t.same((await web.dig("fresh")).addresses, [await fresh.ip("n1")], "a container started afterwards is found");
        t.equal(await ttlOf(fresh, "web"), ownTtl, "and answered by pontoon");
        await until(async () => (await web.dig("doomed")).rcode === "NXDOMAIN", {
          what: "one that ended meanwhile is forgotten",
        });
        t.equal(pontoon.exitCode, undefined);
        await pontoon.stop();
      },
    );

  t.test("a daemon that stood still does not take its server for hung", { buffered: true }, async (t) => {
    const { host, web, pontoon } = await setUp(t);
    const pid = await serverPid(pontoon);
    await host.signal("SIGSTOP", pontoon.pid);
    t.same(await watchUntil(performance.now(), 15, () => ttlOf(web, "web")), [ownTtl], "pontoon answers");
    await host.signal("SIGCONT", pontoon.pid);
    const later = await host.container({ name: "later", networks: ["n1"] });
    await until(async () => (await ttlOf(web, "later")) === ownTtl, { what: "the daemon has gone on" });
    t.same((await web.dig("later")).addresses, [await later.ip("n1")]);
    t.equal(await serverPid(pontoon), pid, "the server is the same");
    t.notMatch(pontoon.logs.join("\n"), /pontoon-dns is gone/);
    await pontoon.stop();
  });

  t.test(
    "a daemon that is told to end before dockerd is back gives back what it found",
    { buffered: true },
    async (t) => {
      const { host, web, pontoon } = await setUp(t, { liveRestore: true });
      await pontoon.kill();
      await host.stopDockerd();
      const again = await host.pontoon();
      await until(async () => (await serverPid(again)) !== undefined, { what: "it has adopted the server" });
      t.equal(await again.stop(), 0);
      await host.startDockerd();
      t.notMatch((await host.exec(["nft", "list", "tables"], { netns: web })).stdout, /pontoon/, "nothing is left");
      t.equal(await ttlOf(web, "web"), dockersTtl, "Docker answers");
    },
  );
  t.end();
});

/** The port to which the takeover leads queries. */
async function takeoverPort(host: DockerHost, container: Container): Promise<string | undefined> {
  const { stdout } = await host.exec(["nft", "list", "table", "ip", "pontoon"], { netns: container });
  return /udp dport set (\d+)/.exec(stdout)?.[1];
}
