import t from "tap";
import { docker, tryDocker } from "../driver/host.js";
import { until } from "../lab/index.js";
import { run } from "../networks/host.js";
import { dockerNetworks, overlay, untilGone, untilListed, untilPings, untilStarts, untilStored } from "./docker-lab.js";
import { ClusterLab, listed, type DockerClusterHost } from "./hosts.js";

t.test("networks of all hosts' dockerds", async (t) => {
  const lab = await ClusterLab.start(t);
  const [east, west] = await Promise.all([lab.dockerHost(1), lab.dockerHost(2)]);
  const both = [east, west];
  const untilSame = () =>
    until(async () => new Set(await Promise.all(both.map(listed))).size === 1, { what: "both hosts know the same" });

  await t.test("two hosts make two each of the same name at once", async (t) => {
    const made = await Promise.all(
      [...both, ...both].map(({ host }) => tryDocker(host, `network create ${overlay} twice`)), // moby's issue 20648
    );
    t.ok(
      made.some(({ exitCode }) => exitCode === 0),
      "one at least is made",
    );
    await until(async () => (await lab.networks()).filter(({ name }) => name === "twice").length === 1);
    await until(async () => (await lab.networks()).length === 1, { what: "there is one network", timeoutMs: 15_000 });
    for (const each of both) await untilListed(each, "twice");
    await untilSame();
    const one = await east.host.container({ name: "one", networks: ["twice"] });
    await west.host.container({ name: "two", networks: ["twice"] });
    await untilPings(one, "two");
    await docker(east.host, "rm -f one");
    await docker(west.host, "rm -f two");
    await docker(west.host, "network rm twice");
    for (const each of both) await untilGone(each, "twice");
    t.same(await lab.networks(), []);
  });

  await t.test("one that pontoon has made is had in Docker by its name", async (t) => {
    await run(east.pontoon, "network create -d overlay own --subnet 10.77.0.0/24");
    await until(async () => (await run(west.pontoon, "network ls")).includes("own"));
    t.same(await dockerNetworks(west), [], "nobody has asked for it in Docker");
    await docker(west.host, `network create ${overlay} --ipam-opt pontoon.network=own -o pontoon.network=own own`);
    for (const each of both) await untilListed(each, "own");
    const subnet = await docker(east.host, "network inspect own --format={{range.IPAM.Config}}{{.Subnet}}{{end}}");
    t.equal(subnet, "10.77.0.0/24");
    t.equal((await lab.networks()).length, 1);
    await docker(east.host, "network rm own");
    for (const each of both) await untilGone(each, "own");
    t.same(await lab.networks(), []);
  });

  await t.test("one is made where pontoon has one of that name", async (t) => {
    await run(east.pontoon, "network create -d overlay both");
    await until(async () => (await run(west.pontoon, "network ls")).includes("both"));
    await docker(west.host, `network create ${overlay} both`);
    await until(async () => (await lab.networks()).length === 1, { what: "the one that was first is kept" });
    for (const each of both) await untilListed(each, "both");
    await run(east.pontoon, "network rm both");
    for (const each of both) await untilGone(each, "both");
    t.same(await lab.networks(), []);
  });

  await docker(east.host, `network create ${overlay} --internal -o com.docker.network.driver.mtu=1300 demo`);
  await untilListed(west, "demo");
  const inspected = await docker(west.host, "network inspect demo --format={{.Internal}}{{.Options}}");
  t.match(inspected, /^true.*mtu:1300/);
  const base = await east.host.container({ name: "base", networks: ["demo"] });

  await t.test("a container that runs is connected, and disconnected", async (t) => {
    const web = await west.host.container({ name: "web" });
    await docker(west.host, "network connect --alias site demo web");
    await untilPings(base, "web");
    await untilPings(base, "site");
    await untilPings(web, "base");
    await docker(west.host, "network disconnect demo web");
    await untilStored(lab, 1);
    await t.resolves(docker(east.host, "run --rm --name web --network demo busybox true"), "its name is free");
    await docker(west.host, "rm -f web");
  });

  await t.test("it is pruned where nobody uses it, and removed while pontoon is not there", async (t) => {
    await docker(west.host, "network prune -f");
    await untilListed(west, "demo");
    t.equal(await west.pontoon.stop(), 0);
    await tryDocker(west.host, "network rm demo");
    const pontoon = await lab.daemon(west.host, 2);
    await untilListed(west, "demo");
    const web = await west.host.container({ name: "web", networks: ["demo"] });
    await untilPings(web, "base");
    await docker(west.host, "rm -f web");
    both[1] = { ...west, pontoon };
  });

  await t.test("a host that comes later has it, and one that is rebooted", async (t) => {
    const north = await lab.dockerHost(3);
    await untilListed(north, "demo");
    await docker(north.host, "run -d --restart=always --name keeps --network demo busybox sleep 10000");
    await untilPings(base, "keeps");
    await north.host.stopDockerd({ signal: "SIGKILL" });
    await north.pontoon.killEverything();
    const again = { ...north, pontoon: await lab.daemon(north.host, 3) };
    await north.host.startDockerd();
    await untilListed(again, "demo");
    await untilStarts(again, "keeps");
    await untilPings(base, "keeps");
    t.same(await dockerNetworks(again), ["demo"]);
    await docker(north.host, "rm -f keeps");
    await untilStored(lab, 1);
    t.equal(await again.pontoon.stop(), 0);
  });

  await t.test("a host is forgotten while its container runs, and comes back", async (t) => {
    const name = await forgetWest(east, both[1]!, lab);
    await east.host.container({ name: "lost", networks: ["demo"] });
    await lab.rejoin(2);
    const isTold = (line: string) => line.includes("a container is cut off");
    const pontoon = await lab.daemon(west.host, 2);
    await until(() => pontoon.logs.some(isTold), { what: "it is told", timeoutMs: 15_000 });
    await untilPings(base, "lost");
    t.equal((await lab.endpoints()).filter((each) => each.name === name).length, 1);
    await docker(west.host, "rm -f lost");
    await docker(east.host, "rm -f lost base");
    await untilStored(lab, 0);
  });
});

/** @returns the name of the container that runs there */
async function forgetWest(east: DockerClusterHost, west: DockerClusterHost, lab: ClusterLab): Promise<string> {
  await west.host.container({ name: "lost", networks: ["demo"] });
  await lab.isolate(2);
  await west.pontoon.kill();
  const hosts = JSON.parse(await run(east.pontoon, "host ls --json")) as { id: string; advertise: string }[];
  const { id } = hosts.find(({ advertise }) => advertise === "10.99.0.2")!;
  const forget = async () => (await east.pontoon.cli("host", "forget", id)).exitCode === 0;
  await until(forget, { what: "it is forgotten", timeoutMs: 15_000 });
  return "lost";
}
