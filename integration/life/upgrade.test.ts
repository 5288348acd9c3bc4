import { readFileSync } from "node:fs";
import t from "tap";
import { DockerHost, lostWithRoom, until, type Pontoon, type Probe } from "../lab/index.js";
import { changeProtocol, otherBuild, otherVersion } from "../lab/other-build.js";

/** TTL of pontoon's own records, and of Docker's. */
const ownTtl = 5;
const dockersTtl = 600;
/** As many as one batch; a server that ends in good order should lose none. */
const lostAtMost = 64;

async function serverOf(host: DockerHost, pontoon: Pontoon): Promise<{ pid: number; version: string | undefined }> {
  const { pid } = ((await pontoon.status()) as { dns: { pid: number } }).dns;
  const words = readFileSync(host.path(`/proc/${pid}/cmdline`), "utf8").split("\0");
  return { pid, version: words[words.indexOf("--version") + 1] };
}

/** Asks for ever new names that an upstream takes its time for, so that some are always under way. */
function askSlowNames(
  probe: Probe,
  label: string,
): () => Promise<{ names: string[]; answers: (string | undefined)[] }> {
  const names: string[] = [];
  const asked: Promise<string | undefined>[] = [];
  const timer = setInterval(() => {
    const name = `${label}-${names.length}.slow.example`;
    const question = probe.dig(name, "A", { tcp: names.length % 4 === 0, timeoutMs: 10_000 });
    names.push(name);
    asked.push(
      question.then(
        ({ rcode }) => rcode,
        (error: Error) => error.message,
      ),
    );
  }, 50);
  return async () => {
    clearInterval(timer);
    return { names, answers: await Promise.all(asked) };
  };
}

t.test("another version of daemon and server takes over under load, and back, without losing a query", async (t) => {
  const newer = otherBuild(t, "dns");
  const foreign = otherBuild(t, "dns", { protocol: 4711 });
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  const upstream = await outside.dns();
  await upstream.delay(1000);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"], options: [`--dns=${outside.address}`] });
  let daemon = await host.pontoon();
  await daemon.answersIn(web);
  const probe = await web.probe();
  const { version } = await serverOf(host, daemon);
  t.not(version, otherVersion);

  for (const { what, root, expected, signal } of [
    { what: "upgrade", root: newer, expected: otherVersion, signal: "SIGKILL" },
    { what: "downgrade", root: undefined, expected: version, signal: "SIGUSR2" },
    { what: "upgrade to another protocol", root: foreign, expected: otherVersion, signal: "SIGUSR2" },
    { what: "downgrade from another protocol", root: undefined, expected: version, signal: "SIGKILL" },
  ] as const)
    await t.test(what, async (t) => {
      const before = await serverOf(host, daemon);
      const flow = await web.flow("web");
      const stopAsking = askSlowNames(probe, what.replaceAll(" ", "-"));
      const exitCode = await daemon.stop(signal);
      if (signal === "SIGUSR2") t.equal(exitCode, 0, "the daemon ends in good order");
      t.ok((await host.exec(["test", "-d", `/proc/${before.pid}`])).exitCode === 0, "its server goes on");
      daemon = await host.pontoon({ ...(root === undefined ? {} : { root }), readyMs: 30_000 });
      const after = await serverOf(host, daemon);
      t.equal(after.version, expected);
      t.not(after.pid, before.pid);
      const [tally, slow] = [await flow.stop(), await stopAsking()];
      t.comment(`silent for ${tally.longestSilence.toFixed(0)} ms; ${tally.lost} of ${tally.sent} queries lost`);
      t.ok(
        lostWithRoom(tally) <= lostAtMost,
        `lost ${tally.lost} of ${tally.sent}, ${tally.dropped} of them for want of room`,
      );
      t.match(tally, { failed: 0, wrong: 0 }, "what is asked again is answered");
      t.same(Object.keys(tally.ttls), [ownTtl], "by pontoon alone");
      const unanswered = slow.answers.filter((answer) => answer !== "NXDOMAIN");
      t.ok(unanswered.length <= tally.lost - lostWithRoom(tally), "all slow questions are answered");
      t.comment(`${slow.names.length} slow questions; not answered: ${unanswered.join()}`);
      await until(
        async () => (await host.exec(["test", "-d", `/proc/${before.pid}`], { reject: false })).exitCode === 1,
        { timeoutMs: 20_000, what: "the old server has ended" },
      );
      t.notMatch(daemon.logs.join("\n"), /pontoon-dns is gone/, "as it should");
    });

  t.equal(await daemon.stop(), 0);
  t.notMatch((await host.exec(["nft", "list", "tables"], { netns: web })).stdout, /pontoon/, "nothing is left");
});

t.test("a new version whose server cannot start leaves names to the old one, and then to Docker", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const first = await host.pontoon();
  await first.answersIn(web);
  const { pid } = await serverOf(host, first);
  await first.kill();
  const flow = await web.flow("web", { rate: 500 });
  const second = await host.pontoon({ root: otherBuild(t, "dns", { broken: true }), untilReady: false });
  await second.waitUntil(({ dns }) => (dns as { state: string }).state === "given-up", { timeoutMs: 30_000 });
  await until(async () => (await web.dig("web")).answers[0]?.ttl === dockersTtl, { what: "Docker answers" });
  const tally = await flow.stop();
  t.match(tally, { failed: 0, wrong: 0 }, "what is asked again is answered");
  t.same(Object.keys(tally.ttls), [ownTtl, dockersTtl], "pontoon answered, then Docker");
  t.ok(tally.lost <= lostAtMost, `lost ${tally.lost} of ${tally.sent}: nobody had to wait for the takeover to lapse`);
  t.match((await second.cli("status")).stdout, /ended 5 times .*it is broken/);
  t.equal((await host.exec(["test", "-d", `/proc/${pid}`], { reject: false })).exitCode, 1, "the old server has ended");
  await second.stop();
});

t.test("a daemon whose program was replaced meanwhile does not work with the other one", async (t) => {
  const root = otherBuild(t, "dns");
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon({ root });
  await pontoon.answersIn(web);
  changeProtocol(root, "dns", 4711);
  await host.signal("SIGKILL", (await serverOf(host, pontoon)).pid);
  await pontoon.waitUntil(({ dns }) => (dns as { state: string }).state === "given-up", { timeoutMs: 30_000 });
  t.equal((await web.dig("web")).answers[0]?.ttl, dockersTtl, "Docker answers");
  t.match((await pontoon.cli("status")).stdout, /replaced by one of another version; restart the daemon/);
  t.same(pontoon.processes("pontoon-dns"), [], "no server is left");
  await pontoon.stop();
});
