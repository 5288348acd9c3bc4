import t, { type Test } from "tap";
import { until } from "../lab/index.js";
import { marksOn, run, startShell } from "../networks/host.js";
import {
  addressesOn,
  addressOf,
  ClusterLab,
  create,
  listedOn,
  prepare,
  remove,
  sandboxesOn,
  untilPings,
  type ClusterHost,
} from "./hosts.js";

// What several hosts want at once, and daemons that end in the middle of it.

type Three = readonly [ClusterHost, ClusterHost, ClusterHost];

t.test("hosts want the same at once, and daemons are killed meanwhile", async (t) => {
  const lab = await ClusterLab.start(t, { members: 1 });
  const hosts = (await Promise.all([1, 2, 3].map((number) => lab.host(number)))) as unknown as Three;
  const marks = await Promise.all(hosts.map(({ host }) => marksOn(host)));

  await t.test("one network, one subnet, one name", (t) => sameAtOnce(t, lab, hosts));
  await t.test("a network is removed while it is joined", (t) => removedAtOnce(t, lab, hosts));
  await t.test("two hosts connect at once on a /22", (t) => many(t, lab, hosts));
  await t.test("what is made anew elsewhere is reached", (t) => elsewhere(t, lab, hosts));
  await t.test("a daemon is killed again and again", (t) => killed(t, lab, hosts));

  t.same(await lab.keys("taken/addresses/"), [], "nothing is taken in the end");
  t.same(await lab.keys("state/networks/"), []);
  t.same(await lab.keys("taken/vnis/"), []);
  for (const [index, { host, number }] of hosts.entries())
    await until(async () => (await marksOn(host)) === marks[index], { what: `nothing is left on host ${number}` });
});

async function sameAtOnce(t: Test, lab: ClusterLab, hosts: Three): Promise<void> {
  const [east, west] = hosts;
  const both = [east, west];
  const post = async ({ pontoon }: ClusterHost, name: string) =>
    (await pontoon.post("/v1/networks", { name, driver: "overlay" })).status;
  for (let round = 0; round < 5; round++) {
    const statuses = await Promise.all(both.map((host) => post(host, `same-${round}`)));
    t.equal(statuses.filter((status) => status === 200).length, 1, "one of them has made it");
  }
  t.same(await Promise.all([...both, ...both].map((host, index) => post(host, `own-${index}`))), [200, 200, 200, 200]);
  const networks = await lab.networks();
  t.equal(networks.length, 9);
  const subnets = networks.flatMap((network) => network.subnets.map(({ subnet }) => subnet));
  t.equal(new Set(subnets).size, subnets.length, "no subnet is there twice");
  t.equal(new Set(networks.map(({ vni }) => vni)).size, 9);
  for (const { name } of networks)
    await until(() => run(west.pontoon, `network rm ${name}`), { what: `${name} is gone` });

  await prepare(hosts, "--subnet 10.88.0.0/22");
  for (let round = 0; round < 5; round++) {
    const said = await Promise.all(both.map((host) => create(host, `one-${round}`)));
    t.equal(said.filter((text) => text === "").length, 1, "one of them has it");
    t.match(
      said.find((text) => text !== ""),
      /already exists in network demo/,
    );
    const winner = both[said.indexOf("")]!;
    t.equal(await remove(winner, `one-${round}`), "");
  }
}

async function removedAtOnce(t: Test, lab: ClusterLab, [east, west]: Three): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const name = `brief-${round}`;
    await run(east.pontoon, `network create -d overlay ${name}`);
    await until(async () => (await listedOn(west)).includes(name), { what: "the other host has it" });
    const [removed, joined] = await Promise.all([
      east.pontoon.post("/v1/networks/remove", { name }),
      west.pontoon.post("/v1/sandboxes", { name: "racer", networks: [name] }),
    ]);
    t.not(removed.status === 200, joined.status === 200, `${name}: either one`);
    if (joined.status === 200) {
      t.ok((await lab.networks()).some((network) => network.name === name));
      t.equal(await remove(west, "racer"), "");
      await run(west.pontoon, `network rm ${name}`);
    } else {
      t.match(joined.body, /NETWORK_UNKNOWN/);
      t.same(await sandboxesOn(west), []);
      await until(async () => !(await listedOn(west)).includes(name), { what: "it is gone there as well" });
    }
  }
}

/** On each of two hosts. */
const each = 120;

async function many(t: Test, lab: ClusterLab, [east, west, north]: Three): Promise<void> {
  const makers = [
    { host: east, names: Array.from({ length: each }, (_, index) => `east-${index}`) },
    { host: west, names: Array.from({ length: each }, (_, index) => `west-${index}`) },
  ];
  t.equal(await create(north, "looker"), "");
  await Promise.all(
    makers.map(({ host, names }) => all(names, async (name) => t.equal(await create(host, name), "", name))),
  );
  const stored = await lab.endpoints();
  t.equal(stored.length, 2 * each + 1);
  t.equal(new Set(stored.map(({ ipv4 }) => ipv4)).size, stored.length, "no address is there twice");
  t.equal((await lab.keys("taken/addresses/")).length, stored.length);
  const here = new Map<string, string>();
  for (const { host, names } of makers) {
    t.same(await sandboxesOn(host), [...names].sort());
    for (const [name, ipv4] of await addressesOn(host)) here.set(name, ipv4);
  }
  t.same(
    stored
      .filter(({ name }) => name !== "looker")
      .map(({ name, ipv4 }) => `${name} ${ipv4}`)
      .sort(),
    [...here].map(([name, ipv4]) => `${name} ${ipv4}`).sort(),
    "the store has what the hosts have",
  );
  const others = { 1: each + 1, 2: each + 1, 3: 2 * each };
  for (const host of [east, west, north]) {
    const expected = others[host.number as 1 | 2 | 3];
    const probe = async () => {
      const known = await knownTo(host);
      if (known !== `${expected} ${expected}`) throw new Error(`it knows ${known}`);
      return true;
    };
    await until(probe, { what: `the kernel of host ${host.number} knows ${expected} endpoints of others` });
  }
  await Promise.all(
    makers.map(({ host, names }) => all(names, async (name) => t.equal(await remove(host, name), "", name))),
  );
  await until(async () => (await knownTo(north)) === "0 0", { what: "none is known any more" });
  t.equal(await remove(north, "looker"), "");
}

/** Entries for endpoints of other hosts: neighbours, and MAC addresses behind the VXLAN link. */
async function knownTo({ host }: ClusterHost): Promise<string> {
  const count = `
neighbours=$(ip neigh show nud permanent | grep -c '^10.88.' || true)
echo $neighbours $(for each in /sys/class/net/pvx-*; do bridge fdb show dev "\${each##*/}"; done | grep -c ' dst ' || true)`;
  return (await host.exec(["sh", "-c", count])).stdout.trim();
}

/** Several at a time. */
async function all(names: readonly string[], work: (name: string) => Promise<unknown>): Promise<void> {
  const waiting = [...names];
  const worker = async () => {
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) await work(name);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

async function elsewhere(t: Test, lab: ClusterLab, [east, west, north]: Three): Promise<void> {
  t.equal(await create(north, "looker"), "");
  t.equal(await create(east, "mover"), "");
  const address = await addressOf(east, "mover");
  let [from, to] = [east, west];
  for (let round = 0; round < 4; round++) {
    await untilPings(north, "looker", "mover");
    t.equal(await remove(from, "mover"), "");
    await until(async () => (await create(to, "mover", [address])) === "", { what: "its name and address are free" });
    [from, to] = [to, from];
  }
  await untilPings(north, "looker", "mover");
  await untilPings(from, "mover", "looker");
  t.equal(await remove(from, "mover"), "");

  for (const { host, name } of [
    { host: east, name: "left" },
    { host: west, name: "right" },
  ]) {
    await run(host.pontoon, "network create front");
    await run(host.pontoon, `sandbox create ${name} --network demo --network front`);
    await run(host.pontoon, `publish ${name} 8080:80`);
    await startShell(host.host, `exec ip netns exec ${name} busybox httpd -f -p 80 -h /usr/share/doc/busybox-static`);
    const url = `http://${lab.underlay.uplink(host.number).address}:8080/`;
    const ask = async () =>
      (await north.host.exec(["curl", "-s", "-o", "/dev/null", "-m", "5", url], { reject: false })).exitCode === 0;
    await until(ask, { what: `a client on the underlay reaches ${name}` });
  }
  await untilPings(east, "left", "right");
  for (const { host, name } of [
    { host: east, name: "left" },
    { host: west, name: "right" },
  ]) {
    await host.host.exec(["sh", "-c", `kill $(ip netns pids ${name})`]);
    await run(host.pontoon, `sandbox rm ${name}`);
    await run(host.pontoon, "network rm front");
  }
  t.equal(await remove(north, "looker"), "");
}

async function killed(t: Test, lab: ClusterLab, [east, west]: Three): Promise<void> {
  let { pontoon } = west;
  for (let round = 0; round < 15; round++) {
    const current = { ...west, pontoon };
    const there = await sandboxesOn(current);
    const work = Array.from({ length: 8 }, async (_, index) => {
      const name = `w-${index}`;
      if (there.includes(name)) await remove(current, name);
      else await create(current, name);
    }).map((each) => each.catch(() => "the daemon has ended"));
    // After another number of answers each time.
    await firstOf(work, round % 8);
    await pontoon.kill();
    await Promise.all(work);
    pontoon = await lab.daemon(west.host, 2);
  }
  const last = { ...west, pontoon };
  const same = async () => {
    const stored = (await lab.endpoints()).map(({ name, ipv4 }) => `${name} ${ipv4}`).sort();
    const here = (await addressesOn(last)).map(([name, ipv4]) => `${name} ${ipv4}`).sort();
    return stored.join("\n") === here.join("\n") && (await lab.keys("taken/addresses/")).length === here.length;
  };
  await until(same, { what: "the store has what the host has", timeoutMs: 10_000 });
  t.equal(await create(east, "web"), "");
  for (const name of await sandboxesOn(last)) {
    await untilPings(east, "web", name);
    t.equal(await remove(last, name), "");
  }
  t.equal(await remove(east, "web"), "");
  await run(pontoon, "network rm demo");
  await until(async () => !(await listedOn(east)).includes("demo"), { what: "the network is gone on all" });
}

/** Resolves when so many have resolved. */
function firstOf(work: readonly Promise<unknown>[], count: number): Promise<void> {
  return new Promise((resolve) => {
    let done = 0;
    if (count === 0) resolve();
    for (const each of work) void each.then(() => ++done === count && resolve());
  });
}
