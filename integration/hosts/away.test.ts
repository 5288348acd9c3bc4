import t, { type Test } from "tap";
import { until } from "../lab/index.js";
import { reaches, run, startShell } from "../networks/host.js";
import {
  addressOf,
  clusterOf,
  ClusterLab,
  create,
  killLeader,
  listed,
  prepare,
  remove,
  resolves,
  sandboxesOn,
  untilPings,
  type ClusterHost,
} from "./hosts.js";

// What goes on, what is refused and what is mended when hosts and etcd's members lose sight of each other.

t.test("etcd is out of reach, for one host or for all", async (t) => {
  const lab = await ClusterLab.start(t, { members: 3 });
  const hosts = await Promise.all([1, 2, 3].map((number) => lab.host(number)));
  const [east, west, north] = hosts as [ClusterHost, ClusterHost, ClusterHost];
  await prepare(hosts);
  for (const [host, name] of [
    [east, "web"],
    [west, "app"],
    [north, "log"],
  ] as const)
    t.equal(await create(host, name), "");
  await untilPings(east, "web", "app");
  await untilPings(west, "app", "web");

  await t.test("a leader is killed while two hosts connect", (t) => leaderKilled(t, lab, [east, west]));
  await t.test("all members stand still for a while", (t) => stopped(t, lab, [east, west]));
  await t.test("one host hears no answers, another nothing at all", async (t) => {
    await Promise.all([oneWay(t, lab, north), cutOff(t, lab, [east, west])]);
    await until(async () => (await lab.endpoints()).length === 5, { what: "what was removed meanwhile is given back" });
    t.equal((await lab.keys("taken/addresses/")).length, 5);
    const [first, ...lists] = await Promise.all(hosts.map(listed));
    for (const list of lists) t.equal(list, first, "all sides list alike");
    t.notMatch(first!, "other");
  });
});

type Pair = readonly [ClusterHost, ClusterHost];

async function leaderKilled(t: Test, lab: ClusterLab, [east, west]: Pair): Promise<void> {
  const names = [...Array(60).keys()].map((index) => `burst-${index}`);
  const halves = [
    { host: east, mine: names.slice(0, 30) },
    { host: west, mine: names.slice(30) },
  ];
  let made = 0;
  let killed: Promise<number> | undefined;
  const makeAll = async ({ host, mine }: (typeof halves)[number]) => {
    for (const name of mine) {
      // An election takes its time: what is refused meanwhile is asked for again.
      await until(async () => (await create(host, name)) === "", { what: `${name} is made` });
      if (++made === 10) killed = killLeader(lab.etcd);
    }
  };
  await Promise.all(halves.map(makeAll));
  await lab.etcd.restart((await killed)!);
  const all = ["app", "log", "web", ...names].sort();
  for (const { pontoon } of [east, west])
    await until(async () => (await clusterOf(pontoon)).endpoints === all.length, { what: "both hosts know of all" });
  const stored = await lab.endpoints();
  t.same(stored.map(({ name }) => name).sort(), all, "no name is there twice, and none is missing");
  t.equal(new Set(stored.map(({ ipv4 }) => ipv4)).size, all.length, "no address is there twice");
  t.equal((await lab.keys("taken/addresses/")).length, all.length, "and nobody holds another");
  await untilPings(east, "web", names.at(-1)!);
  await untilPings(west, "app", names[0]!);
  for (const { host, mine } of halves) for (const name of mine) t.equal(await remove(host, name), "", name);
  await until(async () => (await lab.keys("taken/addresses/")).length === 3, { what: "all is given back" });
}

async function stopped(t: Test, lab: ClusterLab, [east, west]: Pair): Promise<void> {
  await Promise.all(lab.members.map((member) => lab.etcd.stop(member)));
  const refused = create(east, "late");
  t.ok(await reaches(west.pontoon, "app", "web"), "names and traffic go on");
  t.match(await refused, /the store that hosts share (is|went) out of reach/);
  t.notOk((await sandboxesOn(east)).includes("late"), "nothing is left of it here");
  await Promise.all(lab.members.map((member) => lab.etcd.continue(member)));
  await until(async () => (await create(west, "late")) === "", { what: "the name is free" });
  await untilPings(east, "web", "late");
  t.equal(await remove(west, "late"), "");
}

/** What the host says arrives, and is done; it never hears of it. */
async function oneWay(t: Test, lab: ClusterLab, host: ClusterHost): Promise<void> {
  const cuts = lab.members.map((member) => [lab.etcd.uplink(member), lab.underlay.uplink(host.number)] as const);
  for (const [from, to] of cuts) await lab.underlay.cut(from, to, { oneWay: true });
  t.match(await create(host, "half"), /the store that hosts share (is|went) out of reach/);
  t.same(await sandboxesOn(host), ["log"], "no sandbox is half made");
  t.equal((await host.host.exec(["ls", "/run/netns"])).stdout.trim(), "log");
  await until(async () => (await clusterOf(host.pontoon)).state === "apart", { what: "it is said", timeoutMs: 20_000 });
  for (const [from, to] of cuts) await lab.underlay.heal(from, to, { oneWay: true });
  await lab.untilJoined(host);
  const names = async () => (await lab.endpoints()).map(({ name }) => name);
  await until(async () => !(await names()).includes("half"), { what: "what was asked for is taken back" });
  t.equal(await create(host, "half"), "", "and can be had");
}

async function cutOff(t: Test, lab: ClusterLab, [east, west]: Pair): Promise<void> {
  await run(west.pontoon, "sandbox create going --network demo");
  await run(west.pontoon, "sandbox create leaving --network demo");
  await run(west.pontoon, "network create front");
  await run(west.pontoon, "network connect front app");
  await run(west.pontoon, "publish app 8080:80");
  await startShell(west.host, "exec ip netns exec app busybox httpd -f -p 80 -h /usr/share/doc/busybox-static");
  const port = async () => {
    const url = `http://${lab.underlay.uplink(2).address}:8080/`;
    return (await east.host.exec(["curl", "-s", "-o", "/dev/null", "-m", "5", url], { reject: false })).exitCode === 0;
  };
  await until(port, { what: "the published port is served" });
  await until(() => resolves(east, "web", "going"), { what: "all are known" });
  const [app, leaving] = [await addressOf(west, "app"), await addressOf(west, "leaving")];
  const goesOn = async (what: string) => {
    t.ok(await reaches(west.pontoon, "app", "web"), `${what}: names of the other host`);
    t.ok(await reaches(west.pontoon, "app", "app"), `${what}: names of its own`);
    t.ok(await reaches(east.pontoon, "web", app), `${what}: traffic to it`);
    t.ok(await port(), `${what}: published ports`);
  };

  await lab.isolate(2);
  await goesOn("cut off");
  const refused = async (line: string) => {
    const { exitCode, stderr } = await west.pontoon.cli(...line.split(" "));
    t.equal(exitCode, 1, line);
    t.match(stderr, /^pontoon: the store that hosts share is out of reach/, line);
    t.equal(stderr.trim().split("\n").length, 1, "one sentence");
  };
  await refused("network create -d overlay other");
  await refused("sandbox create late --network demo");
  await run(west.pontoon, "sandbox rm going");
  await run(west.pontoon, "network disconnect demo leaving");

  await west.pontoon.kill();
  const pontoon = await west.host.pontoon({ args: lab.args(2) });
  const again: ClusterHost = { ...west, pontoon };
  t.not((await clusterOf(pontoon)).state, "joined");
  await untilPings(again, "app", "web");
  west = again;
  await goesOn("another daemon, while etcd is out of reach");
  await refused("sandbox create late --network demo");

  await until(async () => !(await resolves(east, "web", "app")), {
    what: "its names are withdrawn",
    timeoutMs: 25_000,
  });
  t.match((await clusterOf(east.pontoon)).away.length, 1);
  t.ok(await reaches(east.pontoon, "web", app), "it is reached still");
  t.match(await east.pontoon.cli("sandbox", "create", "thief", "--network", "demo", "--ip", app), {
    exitCode: 1,
    stderr: /taken|has/,
  });
  t.match(await east.pontoon.cli("sandbox", "create", "app", "--network", "demo"), {
    stderr: /already exists in network/,
  });

  await lab.rejoin(2);
  await lab.untilJoined(west);
  await until(() => resolves(east, "web", "app"), { what: "its names are back" });
  await untilPings(west, "app", "web");
  await until(async () => (await create(east, "heir", [leaving])) === "", {
    what: "what was left meanwhile is given back",
  });
  await untilPings(west, "app", "heir");
}
