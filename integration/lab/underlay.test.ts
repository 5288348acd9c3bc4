import t from "tap";
import { BareHost, EtcdCluster, Underlay, until } from "./index.js";

t.test("hosts on an underlay", async (t) => {
  const underlay = await Underlay.start(t);
  const [toEast, toWest] = [underlay.uplink(1), underlay.uplink(2)];
  const east = await BareHost.start(t, { uplink: toEast });
  const west = await BareHost.start(t, { uplink: toWest });
  const reaches = async (from: BareHost, address: string) =>
    (await from.exec(["busybox", "ping", "-c1", "-W1", address], { reject: false })).exitCode === 0;

  await t.test("they reach each other, and differ in name", async (t) => {
    t.ok(await reaches(east, toWest.address));
    t.ok(await reaches(west, toEast.address6));
    const names = await Promise.all([east, west].map(async (host) => (await host.exec(["hostname"])).stdout));
    t.equal(new Set(names).size, 2);
    t.match((await east.exec(["ip", "link", "show", "uplink"])).stdout, "mtu 1500");
  });

  await t.test("a cut is silent and heals", async (t) => {
    await underlay.cut(toEast, toWest);
    t.notOk(await reaches(east, toWest.address));
    t.notOk(await reaches(west, toEast.address6));
    t.equal((await east.exec(["cat", "/sys/class/net/uplink/operstate"])).stdout.trim(), "up");
    await underlay.heal(toEast, toWest);
    t.ok(await reaches(east, toWest.address));
  });

  await t.test("one way only", async (t) => {
    const asked = async (host: BareHost) => {
      const [names = [], counts = []] = (await host.exec(["grep", "^Icmp:", "/proc/net/snmp"])).stdout
        .split("\n")
        .map((line) => line.split(" "));
      return Number(counts[names.indexOf("InEchos")]);
    };
    const before = [await asked(east), await asked(west)] as const;
    await underlay.cut(toEast, toWest, { oneWay: true });
    t.notOk(await reaches(west, toEast.address), "no answer comes back");
    t.ok((await asked(east)) > before[0], "but the question arrived");
    t.notOk(await reaches(east, toWest.address));
    t.equal(await asked(west), before[1], "none arrives");
    await underlay.healAll();
    t.ok(await reaches(west, toEast.address));
  });
});

t.test("etcd on an underlay", async (t) => {
  const underlay = await Underlay.start(t);
  const [etcd, host] = await Promise.all([EtcdCluster.on(underlay), BareHost.start(t, { uplink: underlay.uplink(1) })]);
  const put = (member: number) =>
    host.exec(["curl", "-s", "-m", "2", `http://${etcd.uplink(member).address}:2379/v2/keys/k`, "-XPUT", "-dvalue=v"], {
      reject: false,
    });
  t.equal(etcd.url, "etcd://10.99.0.101:2379,10.99.0.102:2379,10.99.0.103:2379");

  const first = await etcd.leader();
  await etcd.kill(first);
  await until(async () => (await etcd.leader()) !== first, { what: "another member leads" });
  t.notOk(await etcd.isHealthy(first));
  await etcd.restart(first);
  await etcd.untilHealthy(first);

  const second = await etcd.leader();
  await etcd.stop(second);
  await until(async () => (await etcd.leader()) !== second, { what: "another member leads" });
  await etcd.continue(second);
  await etcd.untilHealthy(second);

  const [cutFrom, other] = [1, 2] as const;
  await underlay.cut(underlay.uplink(1), etcd.uplink(cutFrom));
  t.not((await put(cutFrom)).exitCode, 0, "a host may be cut from a member");
  t.match((await put(other)).stdout, '"value":"v"');
  await etcd.stop(other); // and ends like that
});
