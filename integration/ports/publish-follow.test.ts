// Published ports follow their containers, wherever these go.
import t from "tap";
import { Client, DockerHost, service, sockets, until, type Pontoon } from "../lab/index.js";

async function targetOf(pontoon: Pontoon, container: string, ip: string): Promise<string | undefined> {
  const rows = JSON.parse((await pontoon.cli("port", container, "80", "--json")).stdout) as {
    ip: string;
    target?: string;
  }[];
  return rows.find((row) => row.ip === ip)?.target;
}

t.test("a container that moves", async (t) => {
  const host = await DockerHost.start(t);
  const client = new Client(host);
  const [n1, n2] = [
    await host.network("n1", { subnet: "10.90.1.0/24" }),
    await host.network("n2", { subnet: "10.90.2.0/24" }),
  ];
  let web = await service(host, { name: "web", says: "web ", networks: [{ name: "n1", ip: "10.90.1.10" }] });
  const pontoon = await host.pontoon();
  await pontoon.cli("publish", "web", "8080:80", "8053:53/udp");
  const datagram = () => client.datagram("127.0.0.1", 8053, { from: 40_000, size: 20 });
  const datagramsFlow = (name: string) =>
    until(async () => (await datagram()).front === name, { what: `${name} answers over UDP` });
  /** No answer is ever anybody else's. */
  const answers = async (name: string) => {
    await client.answers("127.0.0.1", 8080, name);
    await client.answers("::1", 8080, name);
    await datagramsFlow(name);
  };
  await answers("web ");

  await t.test("restarts", async () => {
    await web.restart();
    await answers("web ");
  });

  await t.test("is removed, another takes its address, and it is made anew", async (t) => {
    await web.remove();
    await client.refused("127.0.0.1", 8080);
    const thief = await service(host, { name: "thief", says: "thief ", networks: [{ name: "n1", ip: "10.90.1.10" }] });
    await until(
      async () =>
        (
          await host.exec(["busybox", "nc", "-w", "1", "10.90.1.10", "80"], { reject: false, input: "x" })
        ).stdout.startsWith("thief"),
      { what: "the other serves" },
    );
    t.equal(await client.talk("127.0.0.1", 8080, "x"), "ECONNREFUSED");
    t.match(await datagram(), { front: "", error: "ECONNREFUSED" });
    web = await service(host, { name: "web", says: "web ", networks: ["n1"] });
    await answers("web ");
    await thief.remove();
  });

  await t.test("goes from network to network", async (t) => {
    await n2.connect(web);
    await answers("web ");
    await n1.disconnect(web);
    await answers("web ");
    t.match(await targetOf(pontoon, "web", "0.0.0.0"), /^10\.90\.2\./);
    await n2.disconnect(web);
    await client.refused("127.0.0.1", 8080);
    await n1.connect(web, { ip: "10.90.1.77" });
    await answers("web ");
    t.equal(await targetOf(pontoon, "web", "0.0.0.0"), "10.90.1.77:80");
  });

  await t.test("is renamed: whoever has the name has the ports", async (t) => {
    await web.rename("old");
    await client.refused("127.0.0.1", 8080);
    const successor = await service(host, { name: "web", says: "successor ", networks: ["n1"] });
    await answers("successor ");
    await successor.rename("other");
    await web.rename("web");
    await answers("web ");
    t.match(await pontoon.cli("port", "other"), { stdout: "", exitCode: 0 });
    await successor.remove();
  });

  await t.test("is paused: clients wait", async (t) => {
    await web.pause();
    const waiting = client.talk("127.0.0.1", 8080, "patience");
    t.equal((await datagram()).size, -1);
    await web.unpause();
    t.equal(await waiting, "web patience");
    await datagramsFlow("web ");
  });

  t.equal(await pontoon.stop(), 0);
});

t.test("networks of all kinds", async (t) => {
  const host = await DockerHost.start(t);
  const client = new Client(host);
  await host.network("n6", { subnet: "10.90.6.0/24", ipv6: "fd00:6::/64" });
  const pontoon = await host.pontoon();

  await t.test("IPv6: each family goes its own way", async (t) => {
    await service(host, { name: "six", networks: ["n6"] });
    // What is sent from an address the kernel is not sure of yet finds no way back.
    await until(async () => (await host.exec(["ip", "-6", "address", "show", "tentative"])).stdout === "", {
      what: "the bridge's address can be used",
    });
    await pontoon.cli("publish", "six", "8080:80", "8053:53/udp");
    await client.answers("127.0.0.1", 8080);
    await client.answers("::1", 8080);
    t.matchOnly(
      [await targetOf(pontoon, "six", "0.0.0.0"), await targetOf(pontoon, "six", "::")],
      [/^10\.90\.6\.\d+:80$/, /^\[fd00:6::\d+\]:80$/],
    );
    for (const ip of ["127.0.0.1", "127.0.0.2", "::1"])
      for (const size of [1, 1473, 65_507])
        t.match(
          await client.datagram(ip, 8053, { size, waitMs: 5000 }),
          { size, error: "", from: `${ip} 8053` },
          `${size} bytes over ${ip}`,
        );
  });

  await t.test("in the namespace of another container", async (t) => {
    const owner = await host.container({ name: "owner", networks: ["n6"] });
    const guest = await service(host, { name: "guest", options: ["--network=container:owner"] });
    t.equal((await pontoon.cli("publish", "guest", "8090:80")).stderr, "");
    await client.answers("127.0.0.1", 8090);
    await owner.restart();
    await guest.restart();
    await client.answers("127.0.0.1", 8090);
    await host.docker("rm", "--force", "owner", "guest");
    await client.refused("127.0.0.1", 8090);
  });

  await t.test("macvlan: the host gets there by a bridge only", async (t) => {
    await host.exec(["ip", "link", "add", "parent0", "type", "veth", "peer", "name", "parent1"]);
    await host.exec(["ip", "link", "set", "parent0", "up"]);
    const vlan = await host.network("vlan", {
      driver: "macvlan",
      subnet: "10.90.7.0/24",
      options: { parent: "parent0" },
    });
    const both = await service(host, { name: "both", networks: ["vlan", "n6"] });
    await pontoon.cli("publish", "both", "127.0.0.1:8091:80");
    await client.answers("127.0.0.1", 8091);
    t.match(await targetOf(pontoon, "both", "127.0.0.1"), /^10\.90\.6\./);
    await both.remove();
    await vlan.remove();
  });

  await t.test("host and none are refused", async (t) => {
    await host.container({ name: "bare", options: ["--network=none"] });
    await host.container({ name: "hosts", options: ["--network=host"] });
    const before = await sockets(host);
    t.match(await pontoon.cli("publish", "bare", "8092:80"), {
      exitCode: 1,
      stdout: "",
      stderr: /^pontoon: bare has no network \(--network none\)[^\n]*\n$/,
    });
    t.match(await pontoon.cli("publish", "hosts", "8092:80"), {
      exitCode: 1,
      stdout: "",
      stderr: /^pontoon: hosts uses the host's network[^\n]*\n$/,
    });
    t.same(await sockets(host), before);
  });

  await t.test("what was never started", async () => {
    await pontoon.cli("unpublish", "both");
    const fresh = await service(host, { name: "fresh", start: false });
    await pontoon.cli("publish", "fresh", "8092:80");
    await client.refused("127.0.0.1", 8092);
    await fresh.start();
    await client.answers("127.0.0.1", 8092);
  });
});
