import t from "tap";
import { docker, nothingRemains, tryDocker } from "../driver/host.js";
import { run } from "../networks/host.js";
import { overlay, untilGone, untilListed, untilPings } from "./docker-lab.js";
import { ClusterLab, type DockerClusterHost } from "./hosts.js";

t.test("the walk that people know, through Docker", async (t) => {
  const lab = await ClusterLab.start(t, { members: 2 });
  const [east, west] = await Promise.all([lab.dockerHost(1), lab.dockerHost(2)]);

  await docker(east.host, `network create ${overlay} demo`);
  await untilListed(west, "demo");
  const inspect = async ({ host }: DockerClusterHost, format: string) =>
    docker(host, `network inspect demo --format ${format}`);
  t.not(await inspect(east, "{{.Id}}"), await inspect(west, "{{.Id}}"), "each dockerd has its own id");
  const idOn = async ({ pontoon }: DockerClusterHost) =>
    (JSON.parse(await run(pontoon, "network inspect demo")) as { Id: string }[])[0]!.Id;
  t.equal(await idOn(east), await idOn(west), "pontoon has one");

  const test12 = await east.host.container({ name: "test12", networks: ["demo"] });
  const refused = await tryDocker(west.host, "run -d --name test12 --network demo busybox sleep 1000");
  t.match(refused.stderr, /endpoint with name test12 already exists in network demo/);
  await docker(west.host, "rm test12");
  const test13 = await west.host.container({ name: "test13", networks: [{ name: "demo", aliases: ["web"] }] });
  await untilPings(test12, "test13");
  await untilPings(test13, "test12");
  await untilPings(test12, "web");
  t.equal((await lab.endpoints()).length, 2);

  const kept = await tryDocker(west.host, "network rm demo");
  t.match(kept.stderr, /has active endpoints/, "dockerd itself keeps what it has containers on");
  await docker(west.host, "rm -f test13");
  await docker(west.host, "network rm demo");
  await untilListed(west, "demo");
  t.pass("it is back: a container of the first host is on it");
  await docker(east.host, "rm -f test12");
  t.same(await lab.keys("taken/addresses"), [], "nobody has an address");
  t.same(await lab.endpoints(), []);
  await docker(east.host, "network rm demo");
  await untilGone(west, "demo");
  t.same(await lab.networks(), []);
  for (const { host, pontoon } of [east, west]) {
    await nothingRemains(t, host, pontoon);
    t.equal(await pontoon.stop(), 0);
  }
});

t.test("an encrypted network, as Docker's users ask for one", async (t) => {
  const lab = await ClusterLab.start(t);
  const config = "wireguard:\n  use: /usr/bin/wireguard-go\n";
  const [east, west] = await Promise.all([lab.dockerHost(1, config), lab.dockerHost(2, config)]);
  await docker(east.host, `network create ${overlay} -o encrypted secret`);
  await untilListed(west, "secret");
  const one = await east.host.container({ name: "one", networks: ["secret"] });
  const two = await west.host.container({ name: "two", networks: ["secret"] });
  await untilPings(one, "two");
  await untilPings(two, "one");
  const { stdout } = await west.host.exec(["ip", "-d", "link", "show", "type", "vxlan"]);
  t.match(stdout, /local fe80::/, "by the tunnel");
  const [stored] = (await lab.networks()) as unknown as [{ name: string; vni: { wireguard?: number } }];
  t.match(stored, { name: "secret", vni: { wireguard: Number } }, "and so for whoever comes later");
  await docker(east.host, "rm -f one");
  await docker(west.host, "rm -f two");
  await docker(east.host, "network rm secret");
  await untilGone(west, "secret");
  for (const { host, pontoon } of [east, west]) {
    await nothingRemains(t, host, pontoon);
    t.equal(await pontoon.stop(), 0);
  }
});
