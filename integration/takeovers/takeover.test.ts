import t from "tap";
import { DockerHost, until, type Container, type Pontoon } from "../lab/index.js";

/** TTL of Docker's own resolver; pontoon's is 5. It tells who has answered. */
const dockersTtl = 600;

async function answeredBy(container: Container, name: string, tcp = false): Promise<"pontoon" | "docker" | "nobody"> {
  const reply = await container.dig(name, "A", { tcp, timeoutMs: 300 }).catch(() => undefined);
  const ttl = reply?.answers[0]?.ttl;
  return ttl === undefined ? "nobody" : ttl === dockersTtl ? "docker" : "pontoon";
}

/** Firewall, links and sockets of a container's namespace, without counters: what must be as before. */
async function fingerprint(host: DockerHost, container: Container): Promise<string> {
  const rules = await host.exec(["nft", "list", "ruleset"], { netns: container });
  const sockets = await host.exec(
    ["sh", "-c", 'cat /proc/net/udp /proc/net/tcp | awk \'$4 == "07" || $4 == "0A" {print $2}\' | sort'],
    { netns: container },
  );
  const links = await host.exec(["ip", "-o", "link"], { netns: container });
  return [rules.stdout.replace(/packets \d+ bytes \d+/g, ""), sockets.stdout, links.stdout].join("\n");
}

async function dnsPid(pontoon: Pontoon): Promise<number | undefined> {
  return ((await pontoon.status()) as { dns: { pid?: number } }).dns.pid;
}

t.test("a container's namespace is taken over, for UDP and TCP, and given back as it was", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  web.releaseProbe();
  const before = await fingerprint(host, web);

  const pontoon = await host.pontoon();
  t.equal(await answeredBy(web, "web"), "pontoon", "over UDP");
  t.equal(await answeredBy(web, "web", true), "pontoon", "over TCP");
  const during = await fingerprint(host, web);
  t.match(
    during,
    before
      .split("\n")
      .find((line) => line.includes("dnat"))!
      .trim(),
    "Docker's rules are untouched",
  );

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const daemon = signal === "SIGTERM" ? pontoon : await host.pontoon();
    const pid = await dnsPid(daemon);
    web.releaseProbe();
    t.equal(await daemon.stop(signal), 0, `${signal}: ends with 0`);
    t.equal(await fingerprint(host, web), before, `${signal}: the namespace is as before`);
    t.equal(await answeredBy(web, "web"), "docker", `${signal}: Docker answers at once`);
    t.equal(
      (await host.exec(["test", "-d", `/proc/${pid}`], { reject: false })).exitCode,
      1,
      `${signal}: pontoon-dns is gone`,
    );
    t.equal((await host.exec(["ls", "/run/pontoon"])).stdout.trim(), "", `${signal}: the run directory is empty`);
  }
});

/** Makes Docker's rules in a container what they are with the nftables backend of Docker 29. */
async function asDocker29(host: DockerHost, container: Container): Promise<void> {
  const rules = (await host.exec(["iptables-save", "-t", "nat"], { netns: container })).stdout;
  const portOf = (transport: string) =>
    new RegExp(`-p ${transport} .*--to-destination 127\\.0\\.0\\.11:(\\d+)`).exec(rules)![1]!;
  const table = `table ip docker-dns {
    chain dns-dnat {
      type nat hook output priority -100; policy accept;
      ip daddr 127.0.0.11 udp dport 53 counter dnat to 127.0.0.11:${portOf("udp")}
      ip daddr 127.0.0.11 tcp dport 53 counter dnat to 127.0.0.11:${portOf("tcp")}
    }
    chain dns-snat {
      type nat hook postrouting priority srcnat; policy accept;
      ip saddr 127.0.0.11 udp sport ${portOf("udp")} counter snat to :53
      ip saddr 127.0.0.11 tcp sport ${portOf("tcp")} counter snat to :53
    }
  }`;
  await host.exec(["nft", "flush", "ruleset"], { netns: container });
  await host.exec(["nft", "-f", "-"], { netns: container, input: table });
}

t.test("the rules of Docker's nftables backend are Docker's: left as they are, and used in a gap", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  await asDocker29(host, web);
  for (const tcp of [false, true]) t.equal(await answeredBy(web, "web", tcp), "docker", "as Docker does");
  web.releaseProbe();
  const before = await fingerprint(host, web);
  const table = async () =>
    (await host.exec(["nft", "list", "table", "ip", "docker-dns"], { netns: web })).stdout.replace(
      /packets \d+ bytes \d+/g,
      "",
    );
  const dockers = await table();
  const pontoon = await host.pontoon();
  await pontoon.answersIn(web);
  for (const tcp of [false, true]) t.equal(await answeredBy(web, "web", tcp), "pontoon");
  t.equal(await table(), dockers);
  await pontoon.kill();
  await host.network("n2");
  await host.docker("network", "connect", "--alias=late", "n2", "web");
  t.same(
    (await web.dig("late")).addresses,
    [await web.ip("n2")],
    "what pontoon-dns does not know without a daemon, Docker's resolver is asked through them",
  );
  await host.docker("network", "disconnect", "n2", "web");
  const next = await host.pontoon();
  await next.answersIn(web);
  web.releaseProbe();
  t.equal(await next.stop(), 0);
  t.equal(await fingerprint(host, web), before);
  for (const tcp of [false, true]) t.equal(await answeredBy(web, "web", tcp), "docker");
});

t.test("while pontoon lets go, no query is lost", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon();
  const probe = await web.probe();
  const stopAsking = probe.digSteadily("web", { everyMs: 2 });
  await until(async () => (await answeredBy(web, "web")) === "pontoon", { what: "pontoon answers" });
  await pontoon.stop();
  await until(async () => (await answeredBy(web, "web")) === "docker", { what: "Docker answers" });
  const tally = await stopAsking();
  t.same(Object.keys(tally.rcodes), ["NOERROR"], "every answer is right");
  t.same(tally.errors, [], `none of ${tally.sent} queries is lost`);
});

t.test("after kill -9 of everything Docker answers again, and a new daemon repairs what is left", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon();
  t.equal(await answeredBy(web, "web"), "pontoon");
  const killed = performance.now();
  await pontoon.killEverything();
  await until(async () => (await answeredBy(web, "web")) === "docker", { timeoutMs: 10_000, what: "Docker answers" });
  t.comment(`after ${Math.round(performance.now() - killed)} ms`);
  const again = await host.pontoon();
  t.equal(await answeredBy(web, "web"), "pontoon", "a new daemon takes over what is left");
  await again.stop();
  const tables = await host.exec(["nft", "list", "tables"], { netns: web });
  t.notMatch(tables.stdout, /pontoon/, "and leaves nothing");
});

t.test("servers and daemons that die are replaced without a wrong answer", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const first = await host.pontoon();
  const server = await dnsPid(first);

  await host.signal("SIGKILL", server!);
  await until(async () => (await answeredBy(web, "web")) === "pontoon", { what: "pontoon answers again" });
  const respawned = await until(async () => (await dnsPid(first)) !== server && dnsPid(first), {
    what: "another pontoon-dns",
  });

  await first.kill();
  t.equal(await answeredBy(web, "web"), "pontoon", "without a daemon the server goes on");
  const second = await host.pontoon();
  t.equal(await dnsPid(second), respawned, "a new daemon adopts the running server");
  const late = await host.container({ name: "late", networks: ["n1"] });
  t.same((await web.dig("late")).addresses, [await late.ip("n1")], "and goes on feeding it");

  await host.exec(["nft", "flush", "ruleset"], { netns: web });
  await until(async () => (await answeredBy(web, "web")) === "pontoon", {
    timeoutMs: 15_000,
    what: "the takeover is repaired",
  });
  t.pass("rules flushed inside the container are noticed and set up again");
  await second.stop();
});

t.test("a server without a daemon lets go after a while, and loses no query then", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon({ config: "dns:\n  orphan-after: 1\n" });
  const probe = await web.probe();
  await pontoon.kill();
  t.equal(await answeredBy(web, "web"), "pontoon", "it goes on at first");
  const stopAsking = probe.digSteadily("web", { everyMs: 10 });
  await until(async () => (await answeredBy(web, "web")) === "docker", { timeoutMs: 12_000, what: "Docker answers" });
  const tally = await stopAsking();
  t.same([tally.errors, Object.keys(tally.rcodes)], [[], ["NOERROR"]], `none of ${tally.sent} queries is lost`);
  const again = await host.pontoon();
  t.equal(await answeredBy(web, "web"), "pontoon", "a new daemon takes over again");
  await again.stop();
});

t.test("five deaths within 30 s give every container back to Docker, and status says so", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const web = await host.container({ name: "web", networks: ["n1"] });
  const pontoon = await host.pontoon();
  for (let death = 1; death <= 5; death++) {
    const pid = await until(() => dnsPid(pontoon), { what: "a running pontoon-dns" });
    await host.signal("SIGKILL", pid!);
    await until(async () => (await dnsPid(pontoon)) !== pid, { what: "its death is noticed" });
  }
  await until(async () => (await answeredBy(web, "web")) === "docker", { what: "Docker answers" });
  const text = (await pontoon.cli("status")).stdout;
  t.match(text, /given-up/, "status says so");
  t.match(text, /ended 5 times/, "and why");
  await pontoon.stop();
});

t.test("a container with DNS rules of its own, and one labelled off, are left alone", async (t) => {
  const host = await DockerHost.start(t);
  await host.network("n1");
  const off = await host.container({ name: "off", networks: ["n1"], options: ["--label", "pontoon.dns=off"] });
  const mesh = await host.container({ name: "mesh", networks: ["n1"] });
  await host.exec(
    [
      "nft",
      "add table ip mesh; add chain ip mesh out { type nat hook output priority -150; }; add rule ip mesh out udp dport 53 redirect to :15053",
    ],
    { netns: mesh },
  );
  const pontoon = await host.pontoon();
  t.equal(await answeredBy(off, "mesh"), "docker");
  const text = (await pontoon.cli("status")).stdout;
  t.match(text, /off .*docker.*label pontoon.dns=off/);
  t.match(text, /mesh .*docker.*rules of its own/);
  const tables = await host.exec(["nft", "list", "tables"], { netns: mesh });
  t.notMatch(tables.stdout, /pontoon/);
  await pontoon.stop();

  const observing = await host.pontoon({ args: ["--observe"] });
  const plain = await host.container({ name: "plain", networks: ["n1"] });
  t.equal(await answeredBy(plain, "off"), "docker", "--observe takes over nothing");
  t.match((await observing.cli("status")).stdout, /plain .*would be answered by pontoon/);
  await observing.stop();
});

/** Rules of a container's own that redirect its questions, as various programs make them, and how they are taken away. */
const redirects: readonly { what: string; add: string[]; remove: string[]; tcp: boolean }[] = [
  ...["iptables-nft", "iptables-legacy"].flatMap((program) =>
    (
      [
        "udp REDIRECT --to-ports 5353",
        "tcp REDIRECT --to-ports 5353",
        "udp DNAT --to-destination 127.0.0.1:5353",
      ] as const
    ).map((what) => {
      const [transport = "", ...target] = what.split(" ");
      const rule = ["-p", transport, "--dport", "53", "-j", ...target];
      return {
        what: `${program}, ${what}`,
        add: [program, "-t", "nat", "-I", "OUTPUT", ...rule],
        remove: [program, "-t", "nat", "-D", "OUTPUT", ...rule],
        tcp: transport === "tcp",
      };
    }),
  ),
  ...["udp", "tcp"].map((transport) => ({
    what: `nft, ${transport}`,
    add: [
      "nft",
      "add table inet own; add chain inet own out { type nat hook output priority -150; }; " +
        `add rule inet own out ${transport} dport 53 redirect to :5353`,
    ],
    remove: ["nft", "delete table inet own"],
    tcp: transport === "tcp",
  })),
];

const ofLegacy = ({ what }: { what: string }) => what.startsWith("iptables-legacy");
// Not all in one: who changes its mind too often is taken over again later each time.
for (const { forwardFrom, kind, cases } of [
  { forwardFrom: "docker", kind: "nftables", cases: redirects.filter((rules) => !ofLegacy(rules)) },
  { forwardFrom: "docker", kind: "legacy iptables", cases: redirects.filter(ofLegacy) },
  { forwardFrom: "host", kind: "nftables", cases: redirects.slice(0, 1) },
] as const)
  t.test(
    "a container that comes to redirect its own questions is given back to its rules, " +
      `and taken over again without them (${kind}, forward-from: ${forwardFrom})`,
    async (t) => {
      const host = await DockerHost.start(t);
      await host.network("n1");
      const [own, other] = [
        await host.container({ name: "own", networks: ["n1"] }),
        await host.container({ name: "other", networks: ["n1"] }),
      ];
      const proxy = await own.dns(5353);
      await proxy.answer("outside.example", "A", "192.0.2.53");
      let pontoon = await host.pontoon({ config: `dns:\n  forward-from: ${forwardFrom}\n` });
      await pontoon.answersIn(own, other);
      for (const { what, add, remove, tcp } of cases) {
        await host.exec(add, { netns: own });
        const askedProxy = async () =>
          (await own.dig("outside.example", "A", { tcp, timeoutMs: 300 }).catch(() => undefined))?.addresses[0] ===
          "192.0.2.53";
        // It does not know the names of other containers.
        await until(async () => (await answeredBy(own, "other", tcp)) === "nobody", {
          what: `${what}: its rules are in force`,
          timeoutMs: 5000,
        });
        t.ok(await askedProxy(), `${what}: its own proxy is asked`);
        await until(async () => /own .*docker.*rules of its own/.test((await pontoon.cli("status")).stdout), {
          what: `${what}: the status tells`,
          timeoutMs: 5000,
        });
        t.notMatch((await host.exec(["nft", "list", "tables"], { netns: own })).stdout, /pontoon/);
        t.equal(await answeredBy(other, "own", tcp), "pontoon", "nobody else notices");
        await host.exec(remove, { netns: own });
        await until(async () => (await answeredBy(own, "other", tcp)) === "pontoon", {
          what: `${what}: it is taken over again`,
          timeoutMs: 20_000,
        });
      }
      await pontoon.kill();
      await host.exec(cases[0]!.add, { netns: own });
      pontoon = await host.pontoon({ config: `dns:\n  forward-from: ${forwardFrom}\n` });
      await until(async () => (await answeredBy(own, "other")) === "nobody", {
        what: "what came while there was no daemon is seen by the next",
        timeoutMs: 10_000,
      });
      await own.remove();
      await pontoon.stop();
    },
  );
