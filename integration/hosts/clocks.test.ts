import t, { type Test } from "tap";
import { BareHost, until } from "../lab/index.js";
import { run } from "../networks/host.js";
import { clusterOf, ClusterLab, create, prepare, remove, resolves, untilPings, type ClusterHost } from "./hosts.js";

// A host's wall clock is set, by hours, while its daemon runs: libfaketime stands between the daemon and CLOCK_REALTIME, and
// nothing else. What counts seconds until a host is away must not look at it.

/** The loader knows where this machine has its libraries. */
const library = "/usr/$LIB/faketime/libfaketimeMT.so.1";
const offsetFile = "/run/clock-offset";
const hour = 3600; // seconds

t.test("a host's clock is set", async (t) => {
  const lab = await ClusterLab.start(t, { members: 1 });
  const east = await lab.host(1);
  const host = await BareHost.start(t, { uplink: lab.underlay.uplink(2) });
  setClock(host, 0);
  const env = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: offsetFile,
    FAKETIME_NO_CACHE: "1",
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
  const west: ClusterHost = { number: 2, host, pontoon: await host.pontoon({ args: lab.args(2), env }) };
  await lab.untilJoined(west);
  await prepare([east, west]);
  t.equal(await create(east, "web"), "");
  t.equal(await create(west, "app"), "");
  await untilPings(east, "web", "app");
  await untilPings(west, "app", "web");
  const before = await presences(lab);
  t.equal(before.length, 6, "key, revision and lease of each");

  // Each is longer than a presence lasts without a word.
  for (const [what, offset] of [
    ["forward by six hours", 6 * hour],
    ["back by twelve", -6 * hour],
    ["back where it was", 0],
  ] as const)
    await t.test(what, async (t) => {
      setClock(host, offset);
      t.ok(Math.abs((await clockOf(west)) - offset) < 60, "the daemon's clock says so");
      await staysInTouch(t, lab, [east, west], 18_000);
      t.same(await presences(lab), before, "nobody's presence was made anew");
      await worksOn(t, [east, west]);
    });
});

function setClock(host: BareHost, offset: number): void {
  host.writeFile(offsetFile, `${offset < 0 ? "" : "+"}${offset}\n`);
}

/** Seconds by which the daemon takes it to be later than it is: by what it writes into a record. */
async function clockOf({ pontoon }: ClusterHost): Promise<number> {
  await run(pontoon, "network create -d overlay clock");
  const [{ Created }] = JSON.parse(await run(pontoon, "network inspect clock")) as [{ Created: string }];
  await run(pontoon, "network rm clock");
  return (Date.parse(Created) - Date.now()) / 1000;
}

/** Which there are, and since which revision. */
async function presences(lab: ClusterLab): Promise<string[]> {
  const text = await lab.etcd.etcdctl("get", "--prefix", "--write-out=fields", "/pontoon/v1/state/alive/");
  return text.split("\n").filter((line) => /^"(Key|CreateRevision|Lease)"/.test(line));
}

async function staysInTouch(t: Test, lab: ClusterLab, hosts: readonly [ClusterHost, ClusterHost], ms: number) {
  const [east, west] = hosts;
  const end = performance.now() + ms;
  const wrong: unknown[] = [];
  while (performance.now() < end) {
    const views = await Promise.all(hosts.map(({ pontoon }) => clusterOf(pontoon)));
    const seen = {
      views: views.map(({ state, away }) => `${state}, away: ${away.length}`),
      resolves: [await resolves(east, "web", "app"), await resolves(west, "app", "web")],
      present: (await lab.keys("state/alive/")).length,
    };
    const right = { views: ["joined, away: 0", "joined, away: 0"], resolves: [true, true], present: 2 };
    if (JSON.stringify(seen) !== JSON.stringify(right)) wrong.push(seen);
  }
  t.same(wrong, [], "both were in touch, and their names known, all the time");
}

/** Both agree with each other on something new. */
async function worksOn(t: Test, hosts: readonly [ClusterHost, ClusterHost]): Promise<void> {
  const [east, west] = hosts;
  t.equal(await create(west, "late"), "");
  t.match(await create(east, "late"), /already exists in network demo/);
  await untilPings(east, "web", "late");
  t.equal(await remove(west, "late"), "");
  await until(async () => !(await resolves(east, "web", "late")), { what: "it is gone" });
}
