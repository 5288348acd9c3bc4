// Another version of pontoon-proxy takes over what the one that runs serves, while clients come, go and stay.
import t from "tap";
import { until, type Pontoon } from "../lab/index.js";
import { otherBuild, otherVersion } from "../lab/other-build.js";
import { natMode, proxyMode, PublishedHost, rowsOf, serves, shim } from "./suites/published-host.js";

for (const mode of [natMode, proxyMode])
  t.test(`with ${mode.name}`, async (t) => {
    const newer = otherBuild(t, "proxy");
    const foreign = otherBuild(t, "proxy", { protocol: 4711 });
    const published = await PublishedHost.start(t, mode);
    const { visitor, place } = published;
    const { ip, portsEach } = mode;
    const datagrams = { protocol: "udp", ip, port: 5353 } as const;
    const own = { ip, port: 9090 };
    let pontoon = await published.pontoon();
    await published.echo("web", ["8080:80", `${ip}:5353:53/udp`], ["tcp:80", "udp:53"]);
    for (const each of [place, datagrams]) await published.answers(each);
    t.equal((await pontoon.cli("publish", "web", `${ip}:9090:80`)).stderr, "");
    await published.answers(own);
    const first = (await serverOf(pontoon)).version;

    for (const { what, root, expected, signal } of [
      { what: "upgrade", root: newer, expected: otherVersion, signal: "SIGKILL" },
      { what: "downgrade", root: undefined, expected: first, signal: "SIGUSR2" },
      { what: "upgrade to another protocol", root: foreign, expected: otherVersion, signal: "SIGUSR2" },
      { what: "downgrade from another protocol, after a stop", root: undefined, expected: first, signal: "SIGTERM" },
    ] as const)
      await t.test(what, async (t) => {
        const { pid: before } = await serverOf(pontoon);
        const visits = await Promise.all([place, own, datagrams].map((each) => visitor.stay(each)));
        await visitor.storm(place);
        const settled = async () => {
          const { answered } = await visitor.tally();
          await until(async () => (await visitor.tally()).answered > answered + 20, {
            what: "clients are answered",
            timeoutMs: 20_000,
          });
        };
        await settled();
        await pontoon.stop(signal);
        pontoon = await published.pontoon({ ...(root === undefined ? {} : { root }), readyMs: 30_000 });
        const { pid: after, version } = await serverOf(pontoon);
        t.not(after, before);
        t.equal(version, expected);
        await serves(pontoon, portsEach + 1);
        await settled();
        t.match(await visitor.calm(), { refused: 0, broken: 0 });
        for (const each of [place, own, datagrams]) await published.answers(each);
        t.same(
          await Promise.all(visits.map((visit) => visit.say("still"))),
          ["still", "still", "still"],
          "clients from before go on",
        );
        t.same([...published.pontoonProxies].sort(), [before, after].sort(), "what the old one has begun it finishes");
        for (const visit of visits) await visit.end();
        await until(() => !published.pontoonProxies.includes(before), {
          what: "the old one ends with its last connection",
          timeoutMs: 20_000,
        });
        await published.proxiesAre(portsEach + 1, shim);
        t.notMatch(pontoon.logs.join("\n"), /pontoon-proxy is gone/);
      });

    await t.test("connections that the old one finishes end when their container has left", async (t) => {
      const { host } = published;
      const gone = await published.echo("gone", [`${ip}:8082:80`]);
      await serves(pontoon, portsEach + 2);
      await published.answers({ ip, port: 8082 });
      const [leaves, stays] = [await visitor.stay({ ip, port: 8082 }), await visitor.stay(own)];
      const { pid: before } = await serverOf(pontoon);
      await pontoon.stop("SIGUSR2");
      pontoon = await published.pontoon({ root: newer, readyMs: 30_000 });
      await serves(pontoon, portsEach + 2);
      t.same(await Promise.all([leaves.say("still"), stays.say("still")]), ["still", "still"]);
      await host.docker("network", "disconnect", "bridge", "gone");
      await t.rejects(leaves.say("x"), /ECONNRESET|has ended/);
      t.equal(await stays.say("on"), "on");
      t.ok(published.pontoonProxies.includes(before), "which the old one still has");
      await Promise.all([leaves.end(), stays.end(), gone.remove()]);
      await pontoon.stop("SIGUSR2");
      pontoon = await published.pontoon({ readyMs: 30_000 });
      await serves(pontoon, portsEach + 1);
    });

    await t.test("the daemon of another version dies again and again while it takes over", async (t) => {
      const visit = await visitor.stay(own);
      await visitor.storm(place);
      for (let round = 0; round < 4; round++) {
        const root = round % 2 === 0 ? { root: newer } : {};
        await pontoon.kill();
        pontoon = await published.pontoon({ ...root, untilReady: false });
        if (round >= 2)
          await until(() => pontoon.logs.some((line) => line.includes("ours takes over")), {
            what: "it has found the old one",
            everyMs: 1,
          });
        await pontoon.kill();
        pontoon = await published.pontoon({ ...root, readyMs: 30_000 });
        await serves(pontoon, portsEach + 1);
        for (const each of [place, own, datagrams]) await published.answers(each);
      }
      t.match(await visitor.calm(), { refused: 0, broken: 0 });
      t.equal(await visit.say("still"), "still");
      await visit.end();
      t.same(
        (await rowsOf(pontoon, "web")).map(({ state }) => state),
        Array.from({ length: portsEach + 2 }, () => "open"),
      );
    });

    await t.test("one that cannot start leaves everything to the old one", async (t) => {
      const { pid } = await serverOf(pontoon);
      await pontoon.kill();
      const visit = await visitor.stay(own);
      await visitor.storm(place);
      pontoon = await published.pontoon({ root: otherBuild(t, "proxy", { broken: true }), untilReady: false });
      await pontoon.waitUntil(({ ports }) => (ports as { state: string }).state === "given-up", { timeoutMs: 30_000 });
      const { answered } = await visitor.tally();
      await until(async () => (await visitor.tally()).answered > answered + 20, {
        what: "clients are answered",
        timeoutMs: 20_000,
      });
      t.match(await visitor.calm(), { refused: 0, broken: 0 });
      t.equal(await visit.say("still"), "still");
      for (const each of [place, own, datagrams]) await published.answers(each);
      t.ok(published.pontoonProxies.includes(pid));
      await pontoon.kill();
      pontoon = await published.pontoon();
      await serves(pontoon, portsEach + 1);
      for (const each of [place, own, datagrams]) await published.answers(each);
      await visit.end();
    });
  });

async function serverOf(pontoon: Pontoon): Promise<{ pid: number; version: string }> {
  return ((await pontoon.status()) as { ports: { pid: number; version: string } }).ports;
}
