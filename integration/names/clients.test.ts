import t from "tap";
import { DockerHost, until, type Container, type TestOwner, type Upstream } from "../lab/index.js";

/** Neither Docker's TTL (600 s) nor that of an answer passed on from Docker's resolver (5 s): tells whose records answered. */
const ownTtl = 7;
const config = `dns:\n  ttl: ${ownTtl}\n`;
const upstreamAddress = "10.77.0.2";

t.test("each container sees the names of its own networks", async (t) => {
  const { host } = await hostWithUpstream(t);
  await host.exec(["sh", "-ec", "ip link add lan0 type veth peer name lan1; ip link set lan0 up; ip link set lan1 up"]);
  const colours = await Promise.all([host.network("red"), host.network("blue"), host.network("green")]);
  await Promise.all([
    host.network("alpha", { internal: true }),
    host.network("bravo"),
    host.network("charlie"),
    host.network("delta", { subnet: "172.40.0.0/24", ipv6: "fd00:40::/64" }),
    host.network("echo", { driver: "macvlan", subnet: "172.41.0.0/24", options: { parent: "lan0" } }),
    host.network("a.b"),
    host.network("b"),
  ]);
  const [red, blue, both, all] = await Promise.all([
    host.container({ name: "red-one", networks: ["red"] }),
    host.container({ name: "blue-one", networks: ["blue"] }),
    host.container({ name: "both", networks: ["red", "blue"] }),
    host.container({
      name: "all",
      networks: ["red", "blue", "green"].map((name) => ({ name, aliases: [`${name}-only`, "everywhere"] })),
    }),
  ]);
  const clients = await Promise.all(
    [
      { networks: ["charlie", "bravo"], first: "bravo" },
      { networks: ["bravo", "charlie"], first: "bravo" },
      { networks: ["bravo", "delta"], first: "delta" },
      { networks: ["alpha", "echo", "delta", "bravo"], first: "delta" },
      { networks: ["echo", "alpha", "charlie"], first: "charlie" },
      { networks: ["echo", "alpha"], first: "echo" },
    ].map(async (group) => ({ ...group, client: await host.container({ networks: group.networks }) })),
  );
  const wanted = await host.container({ name: "wanted", networks: ["alpha", "bravo", "charlie", "delta", "echo"] });
  const [plain, inner, outer, splitter] = await Promise.all([
    host.container({ networks: [{ name: "b", aliases: ["x"] }] }),
    host.container({ networks: [{ name: "b", aliases: ["x.a"] }] }),
    host.container({ networks: [{ name: "a.b", aliases: ["x", "y"] }] }),
    host.container({ networks: ["a.b", "b"] }),
  ]);
  const [target, hidden, client, owner] = await Promise.all([
    host.container({ name: "target", networks: [{ name: "red", aliases: ["shop"] }] }),
    host.container({ name: "db", networks: ["red", "blue"] }),
    host.container({ networks: [{ name: "red", links: ["target:Lnk", "shop:mart", "target:db", "late:soon"] }] }),
    host.container({ name: "owner", networks: [{ name: "red", links: ["target:lnk"] }] }),
  ]);
  const sidecar = await host.container({ name: "sidecar", options: ["--network=container:owner"] });

  const askAll = async () => [
    ...(await Promise.all(clients.map(({ client }) => client.dig("wanted")))),
    ...(await Promise.all(["x.a.b", "x.b", "y.a.b", "x.a", "x"].map((name) => splitter.dig(name)))),
  ];
  const dockers = await askAll();
  const pontoon = await host.pontoon({ config });
  await pontoon.answersIn(
    red,
    blue,
    both,
    all,
    splitter,
    target,
    client,
    owner,
    ...clients.map(({ client }) => client),
  );

  await t.test("a container sees the names of its own networks only", async (t) => {
    await t.test("neighbours only", async (t) => {
      t.same(await found(red, "both"), [await both.ip("red")], "the address on the network they share");
      t.same(await found(blue, "both"), [await both.ip("blue")]);
      t.same(await found(both, "red-one"), [await red.ip("red")]);
      t.same(await found(both, "blue-one"), [await blue.ip("blue")]);
      await unknown(
        t,
        red,
        "blue-one",
        "blue-one.blue",
        "blue-one.red",
        "both.blue",
        blue.id.slice(0, 12),
        "green-only",
        "blue-only",
      );
    });

    await t.test("an alias counts on its own network", async (t) => {
      t.same(await found(red, "red-only"), [await all.ip("red")]);
      t.same(await found(both, "blue-only"), [await all.ip("blue")]);
      t.same(await found(both, "blue-only.blue"), [await all.ip("blue")]);
      await unknown(t, both, "blue-only.red", "red-only.blue", "green-only");
      t.same(await found(all, "green-only"), [await all.ip("green")]);
    });

    await t.test("name.network chooses among several", async (t) => {
      for (const network of ["red", "blue", "green"])
        t.same(await found(all, `everywhere.${network}`), [await all.ip(network)]);
      for (const network of ["red", "blue"])
        t.same(await found(both, `all.${network.toUpperCase()}`), [await all.ip(network)]);
      await unknown(t, both, "all.green", `all.${colours[0].id.slice(0, 12)}`);
    });
  });

  await t.test("a name on several of the client's networks is taken from the one Docker takes it from", async (t) => {
    const ours = await askAll();
    t.ok(ours.every(({ answers }) => answers.every(({ ttl }) => ttl === ownTtl)));
    t.same(
      ours.map(({ addresses }) => addresses),
      dockers.map(({ addresses }) => addresses),
      "as Docker's own resolver",
    );
    for (const { client, networks, first } of clients)
      t.same(await found(client, "wanted"), [await wanted.ip(first)], `on ${networks.join(", ")}`);
    t.same(await found(splitter, "x.a.b"), [await inner.ip("b")], "the longest name wins over the longest network");
    t.same(await found(splitter, "x.b"), [await plain.ip("b")]);
    t.same(await found(splitter, "y.a.b"), [await outer.ip("a.b")], "a network's name may have dots");
    t.same(await found(splitter, "x"), [await outer.ip("a.b")]);
  });

  await t.test("links name containers for one client alone", async (t) => {
    const ip = await target.ip("red");

    await t.test("the client's links resolve", async (t) => {
      for (const name of ["Lnk", "lnk", "LNK", "lnk.red", "LNK.RED", "mart"])
        t.same(await found(client, name), [ip], name);
      t.equal((await client.dig("lnk", "TXT")).rcode, "NOERROR");
    });

    await t.test("nobody else sees them", async (t) => {
      await unknown(t, both, "lnk", "lnk.red", "mart");
      await unknown(t, target, "lnk");
    });

    await t.test("a link goes before a real name on its network", async (t) => {
      t.same(await found(client, "db"), [ip]);
      t.same(await found(client, "db.red"), [ip]);
      t.same(await found(client, hidden.id.slice(0, 12)), [await hidden.ip("red")]);
      t.same(await found(both, "db.blue"), [await hidden.ip("blue")]);
    });

    await t.test("a link's target is looked up when it is asked for", async (t) => {
      await unknown(t, client, "soon");
      const late = await host.container({ name: "late", networks: ["red"] });
      await until(async () => (await found(client, "soon")).length > 0, {
        what: "the link to a container that came later resolves",
      });
      t.same(await found(client, "soon"), [await late.ip("red")]);
    });

    await t.test("a link given when a container joins a network later", async (t) => {
      const late = await host.container({ name: "joiner", networks: ["red"] });
      await host.docker("network", "connect", "--link=db:store", "blue", "joiner");
      await until(async () => (await found(late, "store")).length > 0, {
        what: "the link on the second network resolves",
      });
      t.same(await found(late, "store"), [await hidden.ip("blue")]);
      t.same(await found(late, "store.blue"), [await hidden.ip("blue")]);
      await unknown(t, late, "store.red");
    });
  });

  await t.test("a container that shares another's network shares its names", async (t) => {
    const after = await host.container({ name: "second", options: [`--network=container:${owner.id}`] });

    for (const sharer of [sidecar, after]) {
      for (const name of ["target", "shop", "lnk", "target.red"])
        t.same(await found(sharer, name), [await target.ip("red")], name);
      t.same(await found(sharer, "owner"), [await owner.ip("red")]);
      t.match((await sharer.exec(["nslookup", "shop"])).stdout, await target.ip("red"), "by its own tools");
    }
    t.match((await pontoon.cli("status")).stdout, /sidecar.*shares/, "the status says whose names it has");
    await host.docker("network", "connect", "blue", "owner");
    await until(async () => (await found(sidecar, "blue-one")).length > 0, {
      what: "it sees the other's new network too",
    });
    t.same(await found(sidecar, "blue-one"), [await blue.ip("blue")]);
    await after.remove();
    t.same(await found(sidecar, "target"), [await target.ip("red")], "one sharer's end changes nothing for the others");
  });
});

t.test("containers without a user-defined network keep the resolver Docker gave them", async (t) => {
  const { host, upstream } = await hostWithUpstream(t);
  await upstream.answer("example.test", "A", "192.0.2.1");
  await host.network("red");
  const start = (name: string) =>
    Promise.all([
      host.container({ name: `${name}-default` }),
      host.container({ name: `${name}-none`, options: ["--network=none"] }),
      host.container({ name: `${name}-host`, options: ["--network=host"] }),
      host.container({ name: `${name}-sharer`, options: ["--network=container:first"] }),
    ]);
  await host.container({ name: "first" });
  const early = await start("early");
  const red = await host.container({ name: "red-one", networks: ["red"] });
  const files = await Promise.all(early.map((container) => resolvConfOf(container)));
  const pontoon = await host.pontoon({ config });
  await pontoon.answersIn(red);
  const late = await start("late");
  // Answers for a container that started after them: they have been looked at.
  await pontoon.answersIn(await host.container({ networks: ["red"] }));

  t.same(await Promise.all(early.map((container) => resolvConfOf(container))), files, "resolv.conf is as it was");
  t.same(
    await Promise.all(late.map((container) => resolvConfOf(container))),
    files,
    "resolv.conf of those that came later",
  );
  for (const container of [...early, ...late]) {
    const name = await container.name();
    t.notMatch(
      (await host.exec(["nft", "list", "tables"], { netns: container })).stdout,
      "pontoon",
      `${name}: its namespace is left alone`,
    );
    await t.rejects(container.dig("red-one"), /ECONNREFUSED/, `${name}: nobody answers at 127.0.0.11`);
  }
  for (const [container] of [early, late])
    t.match((await container.exec(["nslookup", "example.test"])).stdout, "192.0.2.1", "its own resolver works");

  await t.test("until they join one", async (t) => {
    const [joiner] = early;
    await host.docker("network", "connect", "--alias=joined", "red", joiner.id);
    await until(async () => (await found(red, "joined")).length > 0, { what: "its alias resolves" });
    await pontoon.answersIn(joiner);
    t.same(await found(joiner, "red-one"), [await red.ip("red")]);
    await unknown(t, red, "first");
  });
});

t.test("a container on internal networks only resolves its neighbours and reaches no upstream", async (t) => {
  const { host, upstream } = await hostWithUpstream(t);
  await upstream.answer("example.test", "A", "192.0.2.1");
  await Promise.all([
    host.network("vault", { internal: true }),
    host.network("cellar", { internal: true }),
    host.network("red"),
  ]);
  const inner = await host.container({ name: "inner", networks: ["vault", "cellar"] });
  const open = await host.container({ name: "open", networks: ["vault", "red"] });
  const own = await host.container({ name: "own", networks: ["cellar"], options: [`--dns=${upstreamAddress}`] });
  const pontoon = await host.pontoon({ config });
  await pontoon.answersIn(inner, open, own);

  t.same(await found(inner, "open"), [await open.ip("vault")]);
  t.same(await found(own, "inner"), [await inner.ip("cellar")]);
  t.same(await found(open, "inner.vault"), [await inner.ip("vault")]);
  await upstream.clear();
  for (const client of [inner, own])
    for (const [name, type] of [
      ["example.test", "A"],
      ["example.test", "TXT"],
      ["nobody", "A"],
      ["open.red", "A"],
      ["1.2.0.192.in-addr.arpa", "PTR"],
      ["_http._tcp.example.test", "SRV"],
    ] as const) {
      const { rcode, addresses } = await client.dig(name, type);
      t.same([rcode, addresses], ["SERVFAIL", []], `${type} of ${name}`);
      t.equal((await client.dig(name, type, { tcp: true })).rcode, "SERVFAIL", `${type} of ${name}, over TCP`);
    }
  t.same(await upstream.queries(), [], "nothing came to the upstream");
  t.same((await open.dig("example.test")).addresses, ["192.0.2.1"], "one that is on another network too reaches it");
});

/** A host whose containers forward to a server that knows no names. */
async function hostWithUpstream(t: TestOwner): Promise<{ host: DockerHost; upstream: Upstream }> {
  const host = await DockerHost.start(t, { resolvConf: `nameserver ${upstreamAddress}\n` });
  return { host, upstream: await (await host.outside()).dns() };
}

interface Checks {
  equal(found: unknown, wanted: unknown, message: string): unknown;
}

/** What a name stands for according to pontoon's own records; nothing when they do not have it. */
async function found(client: Container, name: string): Promise<string[]> {
  const { answers, addresses } = await client.dig(name);
  return answers.every(({ ttl }) => ttl === ownTtl) ? addresses : [];
}

async function unknown(t: Checks, client: Container, ...names: string[]): Promise<void> {
  for (const name of names)
    t.equal((await client.dig(name, "A", { timeoutMs: 5_000 })).rcode, "NXDOMAIN", `there is no ${name} for it`);
}

/** The container's resolv.conf, as its processes see it. */
async function resolvConfOf(container: Container): Promise<string> {
  return (await container.exec(["cat", "/etc/resolv.conf"])).stdout;
}
