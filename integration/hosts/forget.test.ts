import t, { type Test } from "tap";
import { until, type Pontoon } from "../lab/index.js";
import { reaches, run } from "../networks/host.js";
import {
  addressOf,
  clusterOf,
  ClusterLab,
  create,
  prepare,
  remove,
  resolves,
  untilPings,
  type ClusterHost,
} from "./hosts.js";

// A host that is given up and returns, and a store that has lost what was in it, or is another's.

t.test("a host is forgotten and returns; the store is emptied, and is another cluster's", async (t) => {
  const lab = await ClusterLab.start(t, { members: 1 });
  const hosts = await Promise.all([1, 2, 3].map((number) => lab.host(number)));
  const [east, west, north] = hosts as [ClusterHost, ClusterHost, ClusterHost];
  await prepare(hosts);
  for (const name of ["lent", "named", "kept"]) t.equal(await create(west, name), "");
  t.equal(await create(east, "web"), "");
  await untilPings(east, "web", "lent");
  await untilPings(west, "kept", "web");
  t.equal(await create(north, "still"), "");
  await untilPings(east, "web", "still");
  const still = await addressOf(north, "still");
  const known = async () => (await east.host.exec(["sh", "-c", entries, "sh", still])).stdout;
  const before = await known();
  t.match(before, /PERMANENT.*\n.*dst 10\.99\.0\.3 /, "the kernel knows where it is");
  await east.host.exec(["sh", "-c", spoil, "sh", still]);
  t.equal(await known(), "");

  let returned: ClusterHost = west;
  await t.test("forgotten, it is cut off from what others have by now", async (t) => {
    returned = await forgotten(t, lab, east, west, north);
  });
  await until(async () => (await known()) === before, { what: "what was deleted is back", timeoutMs: 35_000 });
  await t.test("a network of one host has its name", (t) => sameName(t, [east, returned]));
  await t.test("the store is emptied", (t) => emptied(t, lab, [east, returned, north]));
  await t.test("the store is another cluster's", (t) => anothers(t, lab, [east, returned]));
});

/** What the kernel knows of another host's endpoint: a line for its MAC address, and one for where that is. */
const entries = `
ip neigh show "$1" nud permanent | while read -r ip dev link lladdr mac rest; do
  echo "$ip $dev $link $lladdr $mac $rest"
  for each in /sys/class/net/pvx-*; do bridge fdb show dev "\${each##*/}" | grep "$mac.*dst" || true; done
done`;
const spoil = `
ip neigh show "$1" nud permanent | while read -r ip dev link lladdr mac rest; do
  for each in /sys/class/net/pvx-*; do bridge fdb del "$mac" dev "\${each##*/}"; done
  ip neigh del "$ip" dev "$link"
done`;

async function forgotten(
  t: Test,
  lab: ClusterLab,
  east: ClusterHost,
  west: ClusterHost,
  north: ClusterHost,
): Promise<ClusterHost> {
  const advertised = lab.underlay.uplink(2).address;
  const forget = () => east.pontoon.cli("host", "forget", advertised);
  const lent = await addressOf(west, "lent");
  await west.pontoon.kill();
  t.match(await forget(), { exitCode: 1, stderr: /is in touch with the store; stop the daemon there first/ });
  const isAway = async () => (await clusterOf(east.pontoon)).away.length === 1;
  await until(isAway, { what: "its presence has ended", timeoutMs: 25_000 });
  t.match(await create(east, "heir", [lent]), /ADDRESS_TAKEN/, "what it has stays its own");
  t.match(await forget(), { exitCode: 0 });
  t.equal(await create(east, "heir", [lent]), "");
  t.equal(await create(north, "named"), "");
  await untilPings(north, "named", "heir");

  const back: ClusterHost = { ...west, pontoon: await lab.daemon(west.host, 2) };
  const cutOff = async () => ((await back.pontoon.status())["backend"] as { cutOff?: string[] }).cutOff ?? [];
  await until(async () => (await cutOff()).length === 2, { what: "it is cut off from what others have" });
  t.same((await cutOff()).sort(), ["lent", "named"]);
  t.match((await back.pontoon.cli("status")).stdout, /cut off, .*(lent, named|named, lent)/);
  t.match(await run(back.pontoon, "sandbox inspect lent"), new RegExp(`somebody else has ${lent} by now`));
  t.match(await run(back.pontoon, "sandbox inspect named"), /somebody else has the name named by now/);
  t.ok(back.pontoon.logs.some((line) => line.includes("is cut off from a network of several hosts")));
  t.notOk(await reaches(back.pontoon, "lent", await addressOf(east, "web")), "it is on the network no more");
  await untilPings(back, "kept", "heir");
  await untilPings(back, "kept", "named");
  await untilPings(north, "named", "kept");
  const { stdout } = await back.host.exec(["ip", "neigh", "show", lent]);
  t.match(stdout, /PERMANENT/, "the address is the other host's there as well");

  t.equal(await remove(east, "heir"), "");
  t.equal(await remove(north, "named"), "");
  await until(async () => (await cutOff()).length === 0, { what: "what was given back is its own again" });
  await untilPings(back, "lent", "web");
  await untilPings(east, "web", "named");
  return back;
}

async function emptied(t: Test, lab: ClusterLab, hosts: readonly ClusterHost[]): Promise<void> {
  const [east, west, north] = hosts as [ClusterHost, ClusterHost, ClusterHost];
  await run(north.pontoon, "network create -d overlay second --subnet 10.89.0.0/24");
  await run(north.pontoon, "sandbox create alone --network second");
  await run(east.pontoon, "network create -d overlay empty --subnet 10.90.0.0/24");
  await run(west.pontoon, "network create -d overlay removed");
  await run(west.pontoon, "network rm removed");
  const stored = async () => (await lab.endpoints()).map(({ id, ipv4 }) => `${id} ${ipv4}`).sort();
  const cluster = async () => JSON.parse(await lab.value("state/cluster")) as { id: string };
  const networks = async () => (await lab.networks()).map(({ id, name }) => `${id} ${name}`).sort();
  for (const { pontoon } of hosts)
    await until(async () => (await overlaysOn(pontoon)) === "demo empty second", { what: "all know which there are" });
  const before = {
    endpoints: await stored(),
    networks: await networks(),
    id: (await cluster()).id,
    keys: await lab.keys("taken/"),
  };
  await lab.etcd.wipe();
  t.ok(await reaches(west.pontoon, "kept", "lent"), "what is on one host goes on meanwhile");
  await until(async () => (await stored()).length === before.endpoints.length, {
    what: "it is put back",
    timeoutMs: 40_000,
  });
  t.same(await stored(), before.endpoints);
  t.equal((await cluster()).id, before.id, "it is the same cluster");
  await until(async () => (await lab.keys("taken/")).length === before.keys.length, { what: "all is taken again" });
  t.same((await lab.keys("taken/")).sort(), before.keys.sort());
  t.same(await networks(), before.networks, "also the one that nobody is on, and none that was removed");
  for (const host of hosts) {
    await lab.untilJoined(host);
    await until(async () => (await overlaysOn(host.pontoon)) === "demo empty second", { what: "all have them" });
  }
  await untilPings(east, "web", "kept");
  await untilPings(west, "kept", "web");
  t.equal(await create(north, "fresh"), "", "and changes are agreed on");
  await untilPings(east, "web", "fresh");
  t.equal(await remove(north, "fresh"), "");
}

async function overlaysOn(pontoon: Pontoon): Promise<string> {
  const all = JSON.parse(await run(pontoon, "network ls --json")) as { Name: string; Driver: string }[];
  const own = all.filter(({ Driver }) => Driver === "overlay").map(({ Name }) => Name);
  return own.sort().join(" ");
}

async function sameName(t: Test, [east, west]: readonly [ClusterHost, ClusterHost]): Promise<void> {
  await run(west.pontoon, "network create shared");
  await run(east.pontoon, "network create -d overlay shared");
  const isTold = () => west.pontoon.logs.some((line) => line.includes("a network of this host's has its name"));
  await until(isTold, { what: "the log says that it is not to be had" });
  t.notMatch(await overlaysOn(west.pontoon), /shared/);
  await run(west.pontoon, "network rm shared");
  await until(async () => (await overlaysOn(west.pontoon)).includes("shared"), { what: "it is had" });
  await run(east.pontoon, "network rm shared");
  await until(async () => !(await overlaysOn(west.pontoon)).includes("shared"), { what: "it is gone on both" });
}

async function anothers(t: Test, lab: ClusterLab, [east, west]: readonly [ClusterHost, ClusterHost]): Promise<void> {
  const kept = async () => ({
    networks: (await lab.networks()).map(({ id }) => id).sort(),
    endpoints: (await lab.endpoints()).map(({ id, ipv4 }) => `${id} ${ipv4}`).sort(),
  });
  const before = await kept();
  await lab.replace([1, 2, 3]);
  for (const { pontoon } of [east, west])
    await until(async () => (await clusterOf(pontoon)).state === "refused", { what: "it is told", timeoutMs: 40_000 });
  t.match(await create(east, "late"), /CLUSTER_OTHER/);
  t.ok(await resolves(east, "web", "kept"), "names go on");
  await untilPings(west, "kept", "web");
  t.same(await lab.endpoints(), [], "nothing of theirs is in it");

  await lab.etcd.etcdctl("del", "--prefix", "/pontoon/v1/");
  const probe = async () => {
    const now = await kept();
    if (JSON.stringify(now) !== JSON.stringify(before)) throw new Error(JSON.stringify({ now, before }));
    return true;
  };
  await until(probe, { what: "emptied, it is theirs again", timeoutMs: 40_000 });
}
