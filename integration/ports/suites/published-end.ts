// Published ports when pontoon is gone for good: they become Docker's own, without dockerd or a container noticing.
import type { Test } from "tap";
import { until } from "../../lab/index.js";
import { dockers, PublishedHost, rowsOf, serves, shim, type Mode } from "./published-host.js";

/** The tests of one mode. */
export function testEnd(t: Test, mode: Mode): void {
  t.test(`with ${mode.name}`, async (t) => {
    const published = await PublishedHost.start(t, mode, { returnMs: 10_000 });
    const { host, visitor, place } = published;
    const { ip, portsEach } = mode;
    const datagrams = { protocol: "udp", ip, port: 5353 } as const;
    const all = portsEach + 1;
    const start = () => published.pontoon({ config: "ports:\n  drain: 600\n" });
    let pontoon = await start();
    await published.echo("web", ["8080:80", `${ip}:5353:53/udp`], ["tcp:80", "udp:53"]);
    const answer = async () => {
      await published.answers();
      if (!mode.fromOutside) await published.answers({ ip: "::1", port: 8080 });
      await published.answers(datagrams);
    };
    const comesBack = async () => {
      await host.docker("restart", "--time=0", "web");
      await published.proxiesAre(all, shim);
      await serves(pontoon, all);
      await answer();
    };
    await answer();
    await serves(pontoon, all);

    await t.test("a pontoon-proxy that dies beside its daemon is back in time", async () => {
      await published.killProxy();
      await serves(pontoon, all);
      await published.proxiesAre(all, shim);
      await answer();
    });

    await t.test("everything dies: after a while Docker's own docker-proxy serves", async (t) => {
      const sandbox = (await host.docker("inspect", "--format={{.State.Pid}}", "web")).trim();
      await pontoon.killEverything();
      await published.proxiesAre(all, dockers);
      await answer();
      t.equal(
        await host.docker("inspect", "--format={{.State.Pid}}", "web"),
        sandbox,
        "the container has run all the time",
      );
      await t.test("for as long as the container runs", async (t) => {
        pontoon = await start();
        t.same(new Set((await rowsOf(pontoon, "web")).map(({ by }) => by)), new Set(["docker"]));
        await answer();
        await comesBack();
      });
    });

    await t.test("the daemon is stopped, and pontoon-proxy told to end", async (t) => {
      const visit = await visitor.stay(place);
      await pontoon.stop();
      const [proxy] = published.pontoonProxies;
      await answer();
      await host.signal("SIGTERM", proxy!);
      await published.proxiesAre(all, dockers);
      await answer();
      t.equal(await visit.say("still"), "still", "connections that are open are let drain");
      await visit.end();
      await until(() => published.pontoonProxies.length === 0, { what: "pontoon-proxy ends", timeoutMs: 20_000 });
      await until(() => pontoon.processes().length === 0, {
        what: "nothing of pontoon runs any more",
        timeoutMs: 20_000,
      });
      await t.test("ports published from now on are Docker's at once", async () => {
        await published.echo("other", [`${ip}:20000-20009:20000-20009`], ["tcp:20000-20009"]);
        await published.proxiesAre(all + 10, dockers);
        await published.answers({ ip, port: 20_009 });
        await host.docker("rm", "--force", "other");
      });
      pontoon = await start();
      await comesBack();
    });

    await t.test("pontoon-proxy is told to end beside a daemon, which starts another for what comes", async () => {
      const [proxy] = published.pontoonProxies;
      await host.signal("SIGTERM", proxy!);
      await published.proxiesAre(all, dockers);
      await answer();
      await until(() => published.pontoonProxies.some((pid) => pid !== proxy), {
        what: "another pontoon-proxy runs",
        timeoutMs: 20_000,
      });
      await comesBack();
    });

    await t.test("the container is removed", async (t) => {
      await pontoon.killEverything();
      await published.proxiesAre(all, dockers);
      await host.docker("rm", "--force", "web");
      t.equal(published.proxies.length, 0);
      t.match(await published.refusal(), /ECONNREFUSED/);
    });
  });
}
