// Published ports while dockerd ends, dies and comes back, with live-restore: its docker-proxies end with it.
import type { Test } from "tap";
import { until } from "../../lab/index.js";
import { dockers, PublishedHost, serves, shim, type Mode } from "./published-host.js";

/** The tests of one mode. */
export function testDockerdRestarts(t: Test, mode: Mode): void {
  t.test(`with ${mode.name}`, async (t) => {
    const published = await PublishedHost.start(t, mode, { liveRestore: true });
    const { host, visitor, place } = published;
    const { ip, portsEach } = mode;
    let pontoon = await published.pontoon();
    await published.echo("web", ["8080:80", `${ip}:5353:53/udp`], ["tcp:80", "udp:53"]);
    const datagrams = { protocol: "udp", ip, port: 5353 } as const;
    const all = portsEach + 1;
    const answer = async () => {
      await published.answers();
      await published.answers(datagrams);
    };
    await answer();
    await serves(pontoon, all);
    // A dockerd that binds the ports itself must find them free when it returns: what is not connected by then has to wait for it.
    const isHeld = !host.bindsPorts;

    for (const signal of ["SIGTERM", "SIGKILL"] as const)
      for (const withDaemon of [true, false])
        await t.test(
          `dockerd ends by ${signal} ${withDaemon ? "beside the daemon" : "while there is no daemon"}, and returns`,
          async (t) => {
            if (!withDaemon) await pontoon.kill();
            const visits = await Promise.all([place, datagrams].map((each) => visitor.stay(each)));
            const goOn = async (text: string, those = visits) =>
              t.same(
                await Promise.all(those.map((visit) => visit.say(text))),
                those.map(() => text),
                `${text}, clients go on`,
              );
            await visitor.storm(place);
            await host.stopDockerd({ signal });
            await published.proxiesAre(0, shim);
            await goOn("without dockerd", isHeld ? visits : [visits[0]!]);
            if (isHeld) await answer();
            else t.match(await published.refusal(), /ECONNREFUSED/);
            await host.startDockerd();
            await published.proxiesAre(all, shim);
            await goOn("with dockerd");
            await answer();
            const { answered } = await visitor.tally();
            await until(async () => (await visitor.tally()).answered > answered, {
              what: "clients are answered",
              timeoutMs: 20_000,
            });
            const { refused, broken } = await visitor.calm();
            t.equal(refused > 0, !isHeld);
            t.ok(broken <= (isHeld ? 0 : 8), `${broken} broken: what the kernel had taken and nobody else yet`);
            if (!withDaemon) pontoon = await published.pontoon();
            await serves(pontoon, all);
            await goOn("in the end");
            for (const visit of visits) await visit.end();
          },
        );

    await t.test(
      "pontoon-proxy dies while there is no dockerd: the one that returns binds the ports anew",
      async () => {
        await host.stopDockerd({ signal: "SIGKILL" });
        await published.proxiesAre(0, shim);
        await published.killProxy();
        await host.startDockerd();
        await published.proxiesAre(all, shim);
        await serves(pontoon, all);
        await answer();
      },
    );

    await t.test("pontoon is gone when dockerd returns: the ports are Docker's", async (t) => {
      await host.stopDockerd();
      await published.proxiesAre(0, shim);
      const [proxy] = published.pontoonProxies;
      await pontoon.stop();
      if (isHeld) await host.signal("SIGTERM", proxy!); // without a port it ends with the daemon
      await until(() => published.pontoonProxies.length === 0, { what: "pontoon-proxy ends", timeoutMs: 20_000 });
      t.match(await published.refusal(), /ECONNREFUSED/, "it leaves nothing that dockerd would find in its way");
      await host.startDockerd();
      await published.proxiesAre(all, dockers);
      await answer();
      pontoon = await published.pontoon();
      await host.docker("restart", "--time=0", "web");
      await published.proxiesAre(all, shim);
      await serves(pontoon, all);
      await answer();
    });

    await t.test("the container is removed", async (t) => {
      await host.docker("rm", "--force", "web");
      t.equal(published.proxies.length, 0);
      t.match(await published.refusal(), /ECONNREFUSED/);
      await serves(pontoon, 0);
      t.equal(await pontoon.stop(), 0);
      t.same(published.pontoonProxies, []);
    });
  });
}
