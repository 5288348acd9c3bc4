// What pontoon-proxy reaches containers with does not keep anybody from publishing a port.
import t from "tap";
import { Client, until, type Container } from "../lab/index.js";
import { natMode, PublishedHost, rowsOf } from "./suites/published-host.js";

const span = { first: 61_000, last: 61_099 };

t.test("ports that connections and flows are sent from", async (t) => {
  const published = await PublishedHost.start(t, natMode);
  const { host } = published;
  const pontoon = await published.pontoon({ config: `ports:\n  udp-source-ports: ${span.first}-${span.last}\n` });
  const client = new Client(host);
  const web = await published.echo("web", ["127.0.0.1:5354:53/udp"], ["tcp:80", "udp:53"]);
  t.equal((await pontoon.cli("publish", "web", "127.0.0.1:8080:80", "127.0.0.1:5353:53/udp")).stderr, "");
  await until(async () => (await rowsOf(pontoon, "web")).filter(({ by }) => by === "pontoon").length === 3, {
    what: "all is served by pontoon-proxy",
  });

  const local = async (of: "tcp" | "udp", state: string): Promise<number[]> => {
    const { stdout } = await host.exec([
      "ss",
      "-Han",
      of === "tcp" ? "-t" : "-u",
      "state",
      state,
      "dst",
      (await web.inspect()).NetworkSettings.Networks["bridge"]!.IPAddress,
    ]);
    return stdout
      .trim()
      .split("\n")
      .filter(Boolean)
      .map((line) => Number(/:(\d+)\s+\S+:(?:80|53)\s*/.exec(line)![1]));
  };
  /** 40 flows, from as many clients as it takes, through both ports. */
  const flow = async () => {
    for (const port of [5353, 5354])
      for (let from = 40_000; from < 40_020; from++)
        await until(
          async () => (await client.datagram("127.0.0.1", port, { from: from + (port % 10) * 100 })).error === "",
          { what: "an answer" },
        );
  };
  await flow();
  const flows = await local("udp", "connected");
  t.equal(flows.length, 40);
  t.ok(
    flows.every((port) => port >= span.first && port <= span.last),
    flows.join(),
  );

  const [taken, other, third] = flows as [number, number, number];
  const starts = async (container: Promise<Container>) => (await container).remove();

  await t.test("docker run --publish has those of flows", async () => {
    await starts(published.echo("one", [`127.0.0.1:${taken}:53/udp`, `${other}:53/udp`], ["udp:53"]));
  });
  await t.test("pontoon publish has those of flows", async (t) => {
    t.match(await pontoon.cli("publish", "web", `127.0.0.1:${third}:53/udp`), { stderr: "", exitCode: 0 });
    await pontoon.cli("unpublish", "web", `${third}:53/udp`);
  });
  await t.test("docker run --publish of all of them", async (t) => {
    await flow();
    const wide = await published.echo(
      "wide",
      [`127.0.0.1:${span.first}-${span.last}:${span.first}-${span.last}/udp`],
      ["udp:61000"],
    );
    await until(async () => (await client.datagram("127.0.0.1", 61_000, { from: 41_001 })).error === "", {
      what: "it answers",
    });
    await flow();
    t.ok(
      (await rowsOf(pontoon, "web")).some(({ withoutSourcePort = 0 }) => withoutSourcePort > 0),
      "that flows have other ports is told",
    );
    await wide.remove();
  });

  await t.test(
    "docker run --publish and pontoon publish have those of connections, open and in TIME-WAIT",
    async (t) => {
      const connections: number[] = [];
      for (let count = 0; count < 4; count++) {
        connections.push(await client.connect("127.0.0.1", 8080));
        await client.say(connections[count]!, "x");
      }
      for (const connection of connections.slice(0, 2)) await client.hangUp(connection);
      await until(async () => (await local("tcp", "time-wait")).length >= 2, { what: "two are in TIME-WAIT" });
      const [waiting, waitingToo] = (await local("tcp", "time-wait")) as [number, number];
      const [open, openToo] = (await local("tcp", "established")) as [number, number];
      await starts(published.echo("two", [`${waiting}:80`, `${open}:80`]));
      t.match(await pontoon.cli("publish", "web", `${waitingToo}:80`, `${openToo}:80`), { stderr: "", exitCode: 0 });
      for (const connection of connections.slice(2)) t.equal(await client.say(connection, "y"), "heard");
    },
  );

  await t.test("source ports that are used up are counted and told, with what helps", async (t) => {
    await pontoon.cli("publish", "web", "127.0.0.1:8081:80");
    // The host chooses from these for clients, too, but each of them has two ports to go to.
    await host.exec(["sysctl", "-w", "net.ipv4.ip_local_port_range=50000 50009"]);
    const rows = async () =>
      (await rowsOf(pontoon, "web")).filter(
        ({ withoutSourcePort = 0, transport }) => transport === "tcp" && withoutSourcePort > 0,
      );
    for (const port of [8080, 8081])
      for (let count = 0; count < 8; count++)
        await client.connect("127.0.0.1", port).catch((error: unknown) => t.match(error, /ECONNRESET/));
    await until(async () => (await rows()).length > 0, { what: "it is counted" });
    t.match((await pontoon.cli("port", "--long")).stdout, /no source port was left towards the container, \d+ times/);
    await until(
      () =>
        pontoon.logs.some((line) =>
          /tcp port 127\.0\.0\.1:808[01]: no source port is left towards .*:80, so clients are reset.*Widen net\.ipv4\.ip_local_port_range/.test(
            line,
          ),
        ),
      { what: "the log tells of it" },
    );
  });
});
