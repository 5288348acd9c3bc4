import t from "tap";
import { until } from "../lab/index.js";
import { docker, tryDocker } from "../driver/host.js";
import { reaches, run } from "../networks/host.js";
import { overlay, pings, untilListed, untilPings, untilStarts, untilStored } from "./docker-lab.js";
import { ClusterLab, clusterOf, type DockerClusterHost } from "./hosts.js";

t.test("containers of several hosts, and what goes wrong", async (t) => {
  const lab = await ClusterLab.start(t);
  const [east, west] = await Promise.all([lab.dockerHost(1), lab.dockerHost(2)]);
  const both = [east, west];

  await t.test("what cannot be is refused in one sentence", async (t) => {
    const refused = async (words: string) => (await tryDocker(east.host, `network create ${words} x`)).stderr;
    t.match(await refused("-d pontoon -o pontoon.driver=overlay"), /add --ipam-driver pontoon/);
    t.match(await refused(`${overlay} -o parent=eth0`), /the option parent is for networks of one host/);
    t.match(await refused(`${overlay} -o com.docker.network.bridge.enable_icc=false`), /for networks of one host/);
    t.match(await refused(`${overlay} --ipam-opt pontoon.network=none`), /there is no network none/);
    t.match(await refused(`${overlay} --ipam-opt colour=red`), /has no option colour/);
    t.match(await refused("-d pontoon -o pontoon.network=x"), /add -o pontoon.driver=overlay/);
    t.match(await refused(`${overlay} -o com.docker.network.driver.mtu=9000`), /an MTU of 9000 bytes cannot be/);
    t.same(await lab.networks(), []);
    t.same(await lab.keys("taken/subnets"), []);
    for (const each of both) t.equal(await docker(each.host, "network ls -q -f driver=pontoon"), "");
  });

  await docker(east.host, `network create ${overlay} --ipv6 --subnet 10.88.0.0/16 --subnet fd00:88::/64 demo`);
  await untilListed(west, "demo");
  const web = await west.host.container({ name: "web", networks: [{ name: "demo", aliases: ["site"] }] });
  const client = await east.host.container({ name: "client", networks: ["demo"] });

  await t.test("names: aliases, a rename, a container that stops, one that starts again", async (t) => {
    await untilPings(client, "site");
    await docker(west.host, "rename web shop");
    await untilPings(client, "shop");
    await until(async () => !(await pings(client, "web")), { what: "the old name is gone" });
    const other = await tryDocker(east.host, "run -d --name shop --network demo busybox sleep 1000");
    t.match(other.stderr, /endpoint with name shop already exists in network demo/);
    await docker(east.host, "rm shop");
    await docker(west.host, "stop shop");
    await until(async () => !(await pings(client, "shop")), { what: "it has stopped" });
    t.same(
      (await lab.endpoints()).map(({ name }) => name),
      ["client"],
    );
    await docker(west.host, "start shop");
    await untilPings(client, "shop");
    await docker(west.host, "rename shop web");
    await untilPings(client, "web");
  });

  await t.test("a name that is taken elsewhere when a container is renamed", async (t) => {
    await docker(west.host, "rename web client"); // dockerd asks nobody
    await until(() => west.pontoon.logs.some((line) => line.includes("do not find a container by its name")), {
      what: "it is told",
    });
    await untilPings(client, "client");
    t.equal(await pings(client, "web"), true, "others find it by the name that it had");
    await docker(west.host, "rename client web");
    await untilPings(client, "web");
  });

  await t.test("sandboxes and containers on one network", async (t) => {
    await run(east.pontoon, "sandbox create box1 --network demo");
    await run(west.pontoon, "sandbox create box2 --network demo");
    for (const [one, other] of [
      [east, "web"],
      [east, "client"],
      [east, "box2"],
    ] as const)
      await until(() => reaches(one.pontoon, "box1", other), { what: `box1 reaches ${other}` });
    await untilPings(client, "box2");
    await untilPings(client, "box1");
    const taken = await tryDocker(west.host, "run -d --name box1 --network demo busybox sleep 1000");
    t.match(taken.stderr, /endpoint with name box1 already exists in network demo/);
    await docker(west.host, "rm box1");
    await t.rejects(run(west.pontoon, "sandbox create client --network demo"), {
      message: /endpoint with name client already exists/,
    });
    await run(east.pontoon, "sandbox rm box1");
    await run(west.pontoon, "sandbox rm box2");
    t.ok(await pings(client, "web"), "the network stays while a container is on it");
  });

  await t.test("addresses: named ones, and many at once", async (t) => {
    const ip = (await lab.endpoints()).find(({ name }) => name === "web")!.ipv4;
    const taken = await tryDocker(east.host, `run -d --name thief --network demo --ip ${ip} busybox sleep 1000`);
    t.match(taken.stderr, new RegExp(`${ip} is taken on network demo by web on host`));
    await docker(east.host, "rm thief");
    const many = async ({ host, number }: DockerClusterHost) => {
      const names = Array.from({ length: 6 }, (_, index) => `many${number}-${index}`);
      await Promise.all(names.map((name) => docker(host, `run -d --name ${name} --network demo busybox sleep 1000`)));
      return names;
    };
    const names = (await Promise.all(both.map(many))).flat();
    const endpoints = await lab.endpoints();
    t.equal(endpoints.length, names.length + 2);
    t.equal(new Set(endpoints.map(({ ipv4 }) => ipv4)).size, endpoints.length, "no address twice");
    await untilPings(client, "many2-5");
    for (const { host, number } of both)
      await docker(host, `rm -f ${names.filter((name) => name.startsWith(`many${number}`)).join(" ")}`);
    await until(async () => (await lab.keys("taken/addresses")).length === 4, { what: "two of each of two are left" });
  });

  await t.test("published ports", async () => {
    await docker(west.host, "run -d --name page --network demo -p 8080:80 busybox httpd -f -h /etc");
    const page = ({ host }: DockerClusterHost, url: string) =>
      host.exec(["curl", "-s", "-m", "3", url], { reject: false });
    await until(async () => (await page(west, "http://127.0.0.1:8080/hostname")).exitCode === 0, { what: "a page" });
    await until(async () => (await page(east, "http://10.99.0.2:8080/hostname")).exitCode === 0, {
      what: "a page, from another host",
    });
    await docker(west.host, "rm -f page");
  });

  await t.test("etcd is away: what runs goes on, containers start again, new ones are refused", async (t) => {
    await lab.isolate(2);
    await until(async () => (await clusterOf(west.pontoon)).state === "apart", { what: "it is out of touch" });
    const refused = await tryDocker(west.host, "run -d --name new --network demo busybox sleep 1000");
    t.match(refused.stderr, /the store that hosts share/);
    await docker(west.host, "rm -f new");
    await untilPings(web, "client");
    await docker(west.host, "restart -t 0 web");
    await untilPings(web, "client");
    await lab.rejoin(2);
    await lab.untilJoined(west);
    await untilPings(client, "web");
    await untilStored(lab, 2, 2);
  });

  await t.test("daemons are killed: pontoon, dockerd, both", async (t) => {
    await west.pontoon.kill();
    await untilPings(web, "client");
    await tryDocker(west.host, "stop -t 0 web"); // nobody answers what dockerd asks the driver
    const again = { ...west, pontoon: await lab.daemon(west.host, 2) };
    await untilStarts(west, "web");
    await untilPings(client, "web");
    await west.host.restartDockerd({ signal: "SIGKILL" });
    await untilStarts(west, "web");
    await untilPings(client, "web");
    await untilStored(lab, 2, 2);
    t.equal(await docker(west.host, "network ls -q -f name=^demo$").then((ids) => ids.split("\n").length), 1);
    t.equal(await again.pontoon.stop(), 0);
  });
});
