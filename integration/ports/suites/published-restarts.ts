// Published ports while the daemon and pontoon-proxy end, die and come back.
import type { Test } from "tap";
import { until, type StormTally } from "../../lab/index.js";
import { dockers, PublishedHost, serves, shim, type Mode } from "./published-host.js";

/** The tests of one mode. */
export function testRestarts(t: Test, mode: Mode): void {
  t.test(`with ${mode.name}`, async (t) => {
    const published = await PublishedHost.start(t, mode);
    const { host, visitor, place } = published;
    const each = mode.portsEach;
    const other = { ...place, port: 8081 };
    const web = await published.echo("web", ["8080:80"]);
    let pontoon = await published.pontoon();

    /** Clients who come and go while something happens; each must have been answered some times before, and after. */
    const inAStorm = async (happens: () => Promise<unknown>): Promise<StormTally> => {
      const more = async (answered: number) =>
        until(async () => (await visitor.tally()).answered > answered + 20, {
          what: "clients are answered",
          timeoutMs: 20_000,
        });
      await visitor.storm(place);
      await more(0);
      await happens();
      await more((await visitor.tally()).answered);
      const tally = await visitor.calm();
      t.comment(JSON.stringify(tally));
      return tally;
    };

    await t.test("a container from before is Docker's until it starts again", async (t) => {
      await published.proxiesAre(each, dockers);
      await published.answers();
      t.match((await pontoon.cli("port", "web", "--json")).stdout, /"by":\s*"docker"/);
      await web.restart();
      await published.proxiesAre(each, shim);
      await serves(pontoon, each);
      await published.answers();
    });

    const [proxyBefore] = published.pontoonProxies;

    for (const [how, signal] of [
      ["dies", "SIGKILL"],
      ["leaves for the next one", "SIGUSR2"],
      ["is stopped", "SIGTERM"],
    ] as const)
      await t.test(`the daemon ${how}, and returns`, async (t) => {
        const visit = await visitor.stay(place);
        await pontoon.stop(signal);
        t.equal(await visit.say("without a daemon"), "without a daemon", "connections live on");
        await published.answers();
        const late = await published.echo("late", ["8081:80"]);
        await published.answers(other);
        await late.restart();
        await published.answers(other);
        await host.docker("stop", "--time=0", "late");
        t.match(await published.refusal(other), /ECONNREFUSED/);
        await late.start();
        await published.proxiesAre(2 * each, shim);
        pontoon = await published.pontoon();
        t.same(published.pontoonProxies, [proxyBefore], "it takes up the one that runs");
        t.match(await serves(pontoon, 2 * each), { 0: { container: "late" }, [each]: { container: "web" } });
        t.equal(await visit.say("with a daemon"), "with a daemon");
        await visit.end();
        await late.remove();
        await serves(pontoon, each);
      });

    await t.test("the daemon dies and returns under clients that come and go", async (t) => {
      const tally = await inAStorm(async () => {
        await pontoon.kill();
        pontoon = await published.pontoon();
      });
      t.match(tally, { refused: 0, broken: 0 });
    });

    await t.test("pontoon-proxy dies under clients that come and go: none is refused", async (t) => {
      for (let round = 0; round < 3; round++) {
        const tally = await inAStorm(async () => {
          await published.killProxy();
          await serves(pontoon, each);
        });
        t.equal(tally.refused, 0);
        t.ok(tally.broken <= 8, "what the dead process had accepted is lost, and nothing else");
      }
      await published.proxiesAre(each, shim);
    });

    await t.test("everything dies under clients that come and go, and returns", async (t) => {
      const tally = await inAStorm(async () => {
        await pontoon.killEverything();
        pontoon = await published.pontoon();
        await serves(pontoon, each);
      });
      t.equal(tally.refused, 0);
      await published.proxiesAre(each, shim);
    });

    await t.test("pontoon-proxy hangs, and is replaced", async (t) => {
      const tally = await inAStorm(async () => {
        const [hanging] = published.pontoonProxies;
        await host.signal("SIGSTOP", hanging!);
        await until(() => published.pontoonProxies.length === 1 && published.pontoonProxies[0] !== hanging, {
          what: "another one runs",
          timeoutMs: 30_000,
        });
        await serves(pontoon, each);
      });
      t.equal(tally.refused, 0);
      await published.proxiesAre(each, shim);
    });

    await t.test("nothing is left in the end", async (t) => {
      await pontoon.kill();
      await web.remove();
      t.equal(published.proxies.length, 0);
      pontoon = await published.pontoon();
      t.equal(await pontoon.stop(), 0);
      t.same(published.pontoonProxies, []);
      await until(() => pontoon.processes().length === 0, {
        what: "nothing of pontoon runs any more",
        timeoutMs: 20_000,
      });
    });
  });
}
