import t from "tap";
import { DockerHost, type Container, type Outside, type Pontoon, type TestOwner, type Upstream } from "../lab/index.js";

type Place = "host" | "container";

const patient = { timeoutMs: 6000 }; // longer than pontoon needs to give up
const config = (forwardFrom?: Place) =>
  `dns:\n  cache-size: 0\n${forwardFrom === undefined ? "" : `  forward-from: ${forwardFrom}\n`}`;

/** Keeps DNS to the outside from one of the two places, by dropping packets. */
async function block(
  host: DockerHost,
  place: Place,
  iptables: "iptables" | "ip6tables" = "iptables",
): Promise<() => Promise<void>> {
  const rules = ["udp", "tcp"].map((transport) => [
    place === "host" ? "OUTPUT" : "FORWARD",
    "-o",
    "outside",
    "-p",
    transport,
    "--dport",
    "53",
    "-j",
    "DROP",
  ]);
  for (const rule of rules) await host.exec([iptables, "-I", ...rule]);
  return async () => {
    for (const rule of rules) await host.exec([iptables, "-D", ...rule]);
  };
}

/** From which places a name gets its answer: each in turn is the only one from which the upstream can be reached. */
async function reaches(
  host: DockerHost,
  client: Container,
  name: string,
  iptables?: "iptables" | "ip6tables",
): Promise<Place[]> {
  const found: Place[] = [];
  for (const place of ["host", "container"] as const) {
    const unblock = await block(host, place === "host" ? "container" : "host", iptables);
    const reply = await client.dig(name, "A", patient).catch(() => undefined); // Docker's resolver says nothing when nobody answers
    if (reply?.rcode === "NOERROR") found.push(place);
    await unblock();
  }
  return found;
}

async function hostWithUpstream(t: TestOwner): Promise<{ host: DockerHost; outside: Outside; upstream: Upstream }> {
  const host = await DockerHost.start(t, { resolvConf: "nameserver 10.77.0.2\n" });
  const outside = await host.outside();
  const upstream = await outside.dns();
  await upstream.answer("example.test", "A", "192.0.2.1");
  return { host, outside, upstream };
}

async function withPontoon(
  host: DockerHost,
  forwardFrom: Place | undefined,
  work: (pontoon: Pontoon) => Promise<void>,
): Promise<void> {
  const pontoon = await host.pontoon({ config: config(forwardFrom) });
  await work(pontoon);
  await pontoon.stop();
}

t.test("upstreams are asked from where the Docker found here asks, or from where forward-from says", async (t) => {
  const { host, upstream } = await hostWithUpstream(t);
  await host.network("n1");
  await host.network("closed", { internal: true });
  const plain = await host.container({ name: "plain", networks: ["n1"] });
  const given = await host.container({ name: "given", networks: ["n1"], options: ["--dns=10.77.0.2"] });
  const vault = await host.container({ name: "vault", networks: ["closed"], options: ["--dns=10.77.0.2"] });
  t.same(await reaches(host, plain, "example.test"), [host.asksFrom], "Docker itself");
  t.same(await reaches(host, given, "example.test"), ["container"], "Docker itself: the container's own");
  for (const forwardFrom of [undefined, "host", "container"] as const)
    await withPontoon(host, forwardFrom, async (pontoon) => {
      await pontoon.answersIn(plain, given, vault);
      const asked = forwardFrom ?? host.asksFrom;
      t.same(
        await reaches(host, plain, "example.test"),
        [asked],
        `${forwardFrom ?? "by default"}: the host's upstream`,
      );
      t.same(
        await reaches(host, given, "example.test"),
        [forwardFrom ?? "container"],
        `${forwardFrom ?? "by default"}: the container's own`,
      );
      await upstream.clear();
      t.equal((await vault.dig("example.test")).rcode, "SERVFAIL");
      t.same(
        await upstream.queries(),
        [],
        `${forwardFrom ?? "by default"}: nothing is forwarded for internal networks`,
      );
      t.match(
        (await pontoon.cli("status")).stdout,
        asked === "host" ? /plain .* host\(10\.77\.0\.2\) / : /plain .* 10\.77\.0\.2 /,
        "the status tells",
      );
    });
});

t.test("IPv6 upstreams follow the same rule, over UDP and TCP", async (t) => {
  const { host, outside } = await hostWithUpstream(t);
  await outside.joinIPv6("fd77");
  const upstream = await outside.dns({ address: "fd77::2" });
  await upstream.answer("six.test", "A", "192.0.2.6");
  await upstream.answer("long.test", "A", "192.0.2.7");
  await upstream.truncate("long.test");
  await host.network("n6", { ipv6: "fd00:6::/64" });
  await host.network("n4");
  const client = await host.container({ name: "client", networks: ["n6"], options: ["--dns=fd77::2"] });
  const without = await host.container({
    name: "without",
    networks: ["n4"],
    options: ["--dns=fd77::2", "--dns=10.77.0.2"],
  });
  for (const forwardFrom of [undefined, "host"] as const)
    await withPontoon(host, forwardFrom, async (pontoon) => {
      await pontoon.answersIn(client, without);
      const asked: Place[] = [forwardFrom ?? "container"];
      t.same(await reaches(host, client, "six.test", "ip6tables"), asked, `${forwardFrom ?? "by default"}: over UDP`);
      t.same(await reaches(host, client, "long.test", "ip6tables"), asked, `${forwardFrom ?? "by default"}: over TCP`);
      if (forwardFrom === undefined)
        t.same(
          (await without.dig("example.test", "A", patient)).addresses,
          ["192.0.2.1"],
          "a container without IPv6 gets the next one's answer",
        );
      const many = await Promise.all(Array.from({ length: 40 }, () => client.dig("six.test", "A", patient)));
      t.ok(
        many.every(({ addresses }) => addresses[0] === "192.0.2.6"),
        "many at once",
      );
    });
});
