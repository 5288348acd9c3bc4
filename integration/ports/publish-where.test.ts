// Where a port is bound that names no address, and which address of a container it leads to: as Docker's own -p has it.
import t from "tap";
import type { PortRow } from "../../src/ports/contract.js";
import { Client, DockerHost, service, sockets, until, type Pontoon } from "../lab/index.js";

const rows = async (pontoon: Pontoon, container: string): Promise<PortRow[]> =>
  JSON.parse((await pontoon.cli("port", container, "--json")).stdout || "[]") as PortRow[];
const places = async (pontoon: Pontoon, container: string) =>
  (await rows(pontoon, container)).filter(({ by }) => by === "pontoon").map(({ ip, hostPort }) => `${ip} ${hostPort}`);

t.test("where dockerd or the network has another default address than all", async (t) => {
  const host = await DockerHost.start(t, { dockerd: ["--ip=127.0.0.1"] });
  const client = new Client(host);
  await host.docker("network", "create", "plain");
  await host.docker("network", "create", "--opt=com.docker.network.bridge.host_binding_ipv4=127.0.0.2", "bound");
  await host.docker("network", "create", "--internal", "closed");
  const pontoon = await host.pontoon();
  let port = 8080;
  for (const [name, networks] of [
    ["bridge", []],
    ["plain", ["plain"]],
    ["bound", ["bound"]],
    ["both", ["bound", "plain"]],
  ] as const) {
    await service(host, { name: `dockers-${name}`, networks: [...networks], options: ["--publish=90"] });
    const docker = (await host.docker("port", `dockers-${name}`, "90"))
      .split("\n")
      .map((line) => line.replace(/:\d+$/, "").replace(/^\[?::\]?$/, "::"))
      .sort();
    for (const transport of ["tcp", "udp"]) {
      port++;
      const inside = transport === "tcp" ? "80" : "53/udp";
      const [byLabel, byCommand] = [`label-${name}-${transport}`, `command-${name}-${transport}`];
      await service(host, {
        name: byLabel,
        networks: [...networks],
        options: [`--label=pontoon.publish=${port + 100}:${inside}`],
      });
      await service(host, { name: byCommand, networks: [...networks] });
      await until(async () => (await places(pontoon, byLabel)).length > 0, { what: "the label is followed" });
      t.match(await pontoon.cli("publish", byCommand, `${port}:${inside}`), { exitCode: 0, stderr: "" });
      t.same(
        await places(pontoon, byCommand),
        docker.map((ip) => `${ip} ${port}`),
        `${name}, ${transport}, by command: as Docker`,
      );
      t.same(
        await places(pontoon, byLabel),
        docker.map((ip) => `${ip} ${port + 100}`),
        `${name}, ${transport}, by label: as Docker`,
      );
      const open = (await sockets(host)).filter((line) => line.endsWith(`:${port}`) || line.endsWith(`:${port + 100}`));
      t.equal(open.length, docker.length * 2, open.join());
    }
  }
  await service(host, { name: "inside", networks: ["closed"] });
  t.match(await pontoon.cli("publish", "inside", "9000:80"), {
    exitCode: 1,
    stderr: /Docker publishes nothing of inside on the host: its network closed is internal; name an address/,
  });
  t.match(await pontoon.cli("publish", "inside", "127.0.0.1:9000:80"), { exitCode: 0 });
  await client.answers("127.0.0.1", 9000);

  await t.test("why connections fail is told", async (t) => {
    await service(host, { name: "wrong" });
    await pontoon.cli("publish", "wrong", "127.0.0.1:9010:99", "127.0.0.1:9011:99/udp");
    t.equal(await client.talk("127.0.0.1", 9010, "x"), "ECONNRESET");
    await client.datagram("127.0.0.1", 9011, { waitMs: 100 });
    const reason = /ended with ECONNREFUSED: nothing there takes connections at that port/;
    await until(async () => (await rows(pontoon, "wrong")).every(({ failedDials }) => (failedDials ?? 0) > 0), {
      what: "both have failed",
    });
    t.match(await rows(pontoon, "wrong"), { length: 2, 0: { state: "open", reason }, 1: { state: "open", reason } });
    t.match((await pontoon.cli("port", "wrong", "--long")).stdout, reason);
    await until(
      () =>
        pontoon.logs.filter((line) => /connections to a published port fail/.test(line) && reason.test(line)).length ===
        2,
      { what: "the log tells both" },
    );
  });

  await t.test("and when the container comes to another network", async (t) => {
    await service(host, { name: "mover", networks: ["plain"] });
    await pontoon.cli("publish", "mover", "9001:80");
    t.same(await places(pontoon, "mover"), ["0.0.0.0 9001", ":: 9001"]);
    await host.docker("network", "disconnect", "plain", "mover");
    await host.docker("network", "connect", "bound", "mover");
    await client.answers("127.0.0.2", 9001);
    t.equal(await client.talk("127.0.0.1", 9001, "x"), "ECONNREFUSED");
    t.same(await places(pontoon, "mover"), ["127.0.0.2 9001"]);
    await pontoon.stop("SIGUSR2");
    const next = await host.pontoon();
    await client.answers("127.0.0.2", 9001);
    await host.docker("network", "connect", "plain", "mover");
    await host.docker("network", "disconnect", "bound", "mover");
    await client.answers("127.0.0.1", 9001);
    t.same(await places(next, "mover"), ["0.0.0.0 9001", ":: 9001"], "also what an earlier daemon published");
    await next.stop();
  });
});

t.test("whom the host does not reach at the address of his network", async (t) => {
  const host = await DockerHost.start(t);
  const outside = await host.outside();
  const client = new Client(host);
  const macvlan = await host.exec(
    ["docker", "network", "create", "--driver=macvlan", "--subnet=10.99.0.0/24", "--opt=parent=outside", "lan"],
    { reject: false },
  );
  const swarm = await host.exec(["docker", "swarm", "init", `--advertise-addr=${outside.hostAddress}`], {
    reject: false,
  });
  let pontoon = await host.pontoon();

  await t.test(
    "on a macvlan network he is refused, with the reason",
    { skip: macvlan.exitCode === 0 ? false : `no macvlan here: ${macvlan.stderr.trim()}` },
    async (t) => {
      await service(host, { name: "lone", networks: ["lan"], options: ["--label=pontoon.publish=8090:80"] });
      const reason = /the host cannot reach lone on lan \(macvlan\): .*; connect it to a bridge network as well/;
      t.match(await pontoon.cli("publish", "lone", "8080:80"), { exitCode: 1, stderr: reason });
      t.match(await rows(pontoon, "lone"), { length: 1, 0: { source: "label", state: "failed", reason } });
      await host.docker("network", "connect", "bridge", "lone");
      await client.answers("127.0.0.1", 8090);
      t.match(await pontoon.cli("publish", "lone", "127.0.0.1:8080:80"), { exitCode: 0 });
      await host.docker("network", "disconnect", "bridge", "lone");
      await client.refused("127.0.0.1", 8080);
      t.match(
        (await rows(pontoon, "lone")).filter(({ source }) => source === "command"),
        { length: 1, 0: { state: "refusing", reason } },
      );
      t.match((await pontoon.cli("port", "lone", "--long")).stdout, reason);
      await pontoon.cli("unpublish", "lone");
      await host.docker("rm", "--force", "lone");
    },
  );

  await t.test(
    "on an overlay network by docker_gwbridge, where Docker publishes him",
    { skip: swarm.exitCode === 0 ? false : `no swarm here: ${swarm.stderr.trim()}` },
    async (t) => {
      await host.docker("network", "create", "--driver=overlay", "--attachable", "wide");
      await host.docker("network", "create", "--driver=overlay", "--attachable", "--internal", "closed");
      const label = (port: number) => [`--label=pontoon.publish=127.0.0.1:${port}:80,127.0.0.1:${port}:53/udp`];
      await service(host, { name: "far", networks: ["wide"], options: label(8081) });
      await service(host, { name: "sealed", networks: ["closed"] });
      t.match(await pontoon.cli("publish", "far", "8080:80"), {
        exitCode: 0,
        stderr: "",
        stdout: "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n",
      });
      const answer = async () => {
        for (const ip of ["127.0.0.1", "::1"]) await client.answers(ip, 8080);
        await client.answers("127.0.0.1", 8081);
        await until(async () => (await client.datagram("127.0.0.1", 8081)).size === 10, { what: "UDP answers" });
      };
      await answer();
      const [{ target } = { target: "" }] = await rows(pontoon, "far");
      const gateways = await host.docker(
        "network",
        "inspect",
        "--format={{range .Containers}}{{.IPv4Address}} {{end}}",
        "docker_gwbridge",
      );
      t.match(gateways, target?.replace(/:\d+$/, "/"), "the address Docker gave it there");
      t.match(await pontoon.cli("publish", "sealed", "8082:80"), {
        exitCode: 1,
        stderr: /the host cannot reach sealed on closed \(overlay\)/,
      });

      await service(host, { name: "first", networks: ["wide"] }); // takes the address that far leaves
      await host.docker("restart", "--time=0", "far");
      await answer();
      await host.docker("network", "connect", "bridge", "far");
      await until(async () => (await rows(pontoon, "far"))[0]?.target?.startsWith("172.17.") === true, {
        what: "a network of its own comes first",
      });
      await answer();
      await host.docker("network", "disconnect", "bridge", "far");
      await answer();
      await pontoon.killEverything();
      pontoon = await host.pontoon();
      await answer();
    },
  );
  await pontoon.stop();
});
