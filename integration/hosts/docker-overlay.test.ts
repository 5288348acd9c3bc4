import t from "tap";
import { runCommand } from "../lab/command.js";
import { DockerHost, EtcdCluster, Underlay, until, type Container } from "../lab/index.js";

// What people know from Docker 1.10 to 20.10, and what pontoon's own overlay is compared with.

const { stdout: version } = await runCommand(["dockerd", "--version"]);
const skip = Number(/version (\d+)/.exec(version)?.[1]) > 20 && "Docker 23 and later know no --cluster-store";

t.test("Docker's own overlay: a name on one host is taken on the other", { skip }, async (t) => {
  const underlay = await Underlay.start(t);
  const etcd = await EtcdCluster.on(underlay, { members: 2 });
  t.ok(await etcd.isHealthy(1));
  t.ok(await etcd.isHealthy(2));
  const start = (number: number) => {
    const uplink = underlay.uplink(number);
    return DockerHost.start(t, { uplink, dockerd: etcd.dockerFlags(uplink) });
  };
  const [east, west] = await Promise.all([start(1), start(2)]);

  await east.docker("network", "create", "-d", "overlay", "demo");
  const isListed = async () => (await west.docker("network", "ls", "--format={{.Name}}")).split("\n").includes("demo");
  await until(isListed, { what: "the second host has the network" });

  const test12 = await east.container({ name: "test12", networks: ["demo"] });
  await t.rejects(west.container({ name: "test12", networks: ["demo"] }), {
    message: /endpoint with name test12 already exists in network demo/,
  });
  const test13 = await west.container({ name: "test13", networks: ["demo"] });

  await t.resolves(untilPings(test12, "test13"));
  await t.resolves(untilPings(test13, "test12"));
});

/** Waits until one container reaches another by its name. */
async function untilPings(from: Container, name: string): Promise<void> {
  const ping = async () => (await from.exec(["ping", "-c1", "-W1", name], { reject: false })).exitCode === 0;
  await until(ping, { what: `${name} is reached` });
}
