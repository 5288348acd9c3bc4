import t from "tap";
import {
  DockerHost,
  encodeQuery,
  forgedAddress,
  until,
  type Container,
  type Forgery,
  type SeenQuery,
  type TestOwner,
  type Upstream,
} from "../lab/index.js";

const addresses = ["10.77.0.2", "10.77.0.3", "10.77.0.4", "10.77.0.5"] as const;
const resolvConf = addresses
  .slice(0, 3)
  .map((address) => `nameserver ${address}\n`)
  .join("");
const transports = [
  { transport: "UDP", tcp: false },
  { transport: "TCP", tcp: true },
];
/** Without kept answers each question is forwarded. */
const noCache = "dns:\n  cache-size: 0\n";
/** Resolvers ask again after 5 s: a question has ended before. The probe waits longer, so that a late end is told from none. */
const promisedMs = 5_000;
const patient = { timeoutMs: 8_000 };

t.test("what is not a container's name goes to the host's upstreams", async (t) => {
  const { host, servers } = await hostWithUpstreams(t, { resolvConf });
  const [first, second, third] = servers;
  await host.network("blue");
  const client = await host.container({ name: "client", networks: ["blue"] });
  const pontoon = await host.pontoon({ config: noCache });
  await pontoon.answersIn(client);
  let turn = 0;
  const firstAlone = async () => {
    const name = `fresh-${turn++}.test`;
    await client.dig(name, "A", patient);
    const seen = await askedOf(...servers);
    return seen.filter((query) => query.name === name).length === 1 && (await first.queries()).at(-1)?.name === name;
  };
  const fresh = async () => {
    for (const server of servers) await server.reset();
    // An upstream that failed in the test before is asked after the others until it has been seen to be back.
    await until(firstAlone, { timeoutMs: 30_000, everyMs: 50, what: "the first upstream is asked first" });
    for (const server of servers) await server.clear();
  };

  for (const { transport, tcp } of transports)
    await t.test(`plainly, over ${transport}`, async (t) => {
      await fresh();
      await first.answer("www.example.test", "CNAME", "example.test");
      await first.answer("example.test", "A", ["192.0.2.1", "192.0.2.2"], { ttl: 33 });
      const answer = await client.dig("WWW.Example.test", "A", { tcp });
      t.match(answer, {
        rcode: "NOERROR",
        questionName: "WWW.Example.test",
        addresses: { length: 2, 0: "192.0.2.1", 1: "192.0.2.2" },
      });
      t.match(answer.answers, {
        length: 3,
        0: { type: "CNAME", data: "example.test" },
        1: { ttl: 33 },
        2: { ttl: 33 },
      });
      t.match(await first.queries(), {
        length: 1,
        0: { name: "www.example.test", type: "A", transport: tcp ? "tcp" : "udp", flags: { rd: true } },
      });
      t.equal((await first.queries()).length, 1, "the first upstream is asked once");
      t.same(await askedOf(second, third), [], "the others are not");

      const denied = await client.dig("nobody.test", "TXT", { tcp });
      t.match(
        denied,
        { rcode: "NXDOMAIN", authority: { length: 1, 0: { type: "SOA" } } },
        "a denial comes through, with the zone's SOA",
      );
      t.same(await askedOf(second, third), [], "and is final");
    });

  await t.test("with what the container asks of DNSSEC, and a payload that fits into one packet", async (t) => {
    await fresh();
    await first.answer("example.test", "A", "192.0.2.1");
    const answer = await client.dig("example.test", "A", { cd: true, edns: { udpPayloadSize: 1400, dnssecOk: true } });
    t.match(answer.edns, { dnssecOk: true });
    t.match((await first.queries())[0], {
      flags: { rd: true, cd: true },
      edns: { udpPayloadSize: 1232, dnssecOk: true },
    });
    const query = encodeQuery("example.test", "A");
    const reply = await client.query(query);
    t.same(reply.subarray(0, 2), query.subarray(0, 2), "the reply carries the container's own id");
  });

  await t.test("from ports and under ids nobody can guess", async (t) => {
    await fresh();
    await first.answer("example.test", "A", "192.0.2.1");
    const many = await Promise.all(
      Array.from({ length: 200 }, (_, index) => client.dig(`many-${index}.test`, "A", patient)),
    );
    t.ok(
      many.every(({ rcode }) => rcode === "NXDOMAIN"),
      "many at once are all answered",
    );
    for (let turn = 0; turn < 20; turn++) await client.dig("example.test");
    const seen = (await first.queries()).slice(-20);
    t.ok(new Set(seen.map(({ fromPort }) => fromPort)).size >= 15, "each question from another port");
    t.ok(new Set(seen.map(({ id }) => id)).size >= 15, "and with another id");
  });

  await t.test("a forged or mangled reply is not believed", async (t) => {
    await fresh();
    const forgeries: Forgery[] = [
      "wrong-id",
      "wrong-question",
      "wrong-source",
      "not-a-response",
      "garbage",
      "cut-short",
    ];
    for (const forgery of forgeries) {
      for (const server of servers) await server.answer(`${forgery}.test`, "A", "192.0.2.1");
      await first.forge(`${forgery}.test`, forgery, { thenTruth: true });
    }
    const askAll = () => Promise.all(forgeries.map((forgery) => addressesOrError(client, `${forgery}.test`)));
    for (const [index, addresses] of (await askAll()).entries())
      t.same(addresses, ["192.0.2.1"], `${forgeries[index]}: the true reply behind it is`);
    for (const forgery of forgeries) await first.forge(`${forgery}.test`, forgery);
    for (const [index, addresses] of (await askAll()).entries())
      t.same(addresses, ["192.0.2.1"], `${forgeries[index]}: or another upstream's`);
  });

  await t.test("a truncated reply is asked for again over TCP", async (t) => {
    await fresh();
    await first.truncate("short.test");
    await first.answer("short.test", "A", "192.0.2.1");
    t.match(await client.dig("short.test"), { flags: { tc: false }, addresses: { length: 1, 0: "192.0.2.1" } });
    t.same(
      (await first.queries()).map(({ transport }) => transport),
      ["udp", "tcp"],
    );

    const many = Array.from({ length: 100 }, (_, index) => `192.0.2.${index}`);
    await first.answer("long.test", "A", many);
    t.match(
      await client.dig("long.test"),
      { rcode: "NOERROR", flags: { tc: true } },
      "what the client cannot take over UDP is marked truncated",
    );
    t.same(
      (await client.dig("long.test", "A", { edns: { udpPayloadSize: 4096 } })).addresses,
      many,
      "all of it when it takes that much",
    );
    t.same((await client.dig("long.test", "A", { tcp: true })).addresses, many, "all of it over TCP");
    t.match((await client.digCommand("+short", "long.test")).stdout.trim().split("\n").length, 100);
  });

  for (const rcode of ["SERVFAIL", "REFUSED"])
    await t.test(`an upstream that says ${rcode} is passed over`, async (t) => {
      await fresh();
      await first.rcode("example.test", rcode);
      await second.answer("example.test", "A", "192.0.2.2");
      for (const { tcp } of transports)
        t.same((await client.dig("example.test", "A", { tcp })).addresses, ["192.0.2.2"]);
      t.same(await askedOf(third), []);
      for (const server of servers) await server.rcode("example.test", rcode);
      const { rcode: last, elapsedMs } = await client.dig("example.test", "A", patient);
      t.equal(last, rcode, "when all say so");
      t.ok(elapsedMs < promisedMs);
    });

  await t.test("an upstream that refuses connections is passed over", async (t) => {
    await fresh();
    await first.stop();
    await second.answer("example.test", "A", "192.0.2.2");
    for (const { tcp } of transports) t.same((await client.dig("example.test", "A", { tcp })).addresses, ["192.0.2.2"]);
    await first.start();
  });

  await t.test("silent upstreams, and such as send nothing but forged replies", async (t) => {
    await fresh();
    const asked = servers.slice(0, 3);
    for (const server of asked) await server.silence("lost.test");
    for (const server of asked) await server.forge("forged.test", "wrong-id");
    await first.silence("slow.test");
    await second.answer("slow.test", "A", "192.0.2.2");
    for (const server of [first, second]) await server.silence("slower.test");
    await third.answer("slower.test", "A", "192.0.2.3");
    const ask = (name: string) => Promise.all(transports.map(({ tcp }) => client.dig(name, "A", { tcp, ...patient })));
    const [lost, slow, slower, forged, neighbour] = await Promise.all(
      ["lost.test", "slow.test", "slower.test", "forged.test", "client"].map(ask),
    );
    for (const answer of [...lost!, ...forged!]) {
      t.match(answer, { rcode: "SERVFAIL", answers: { length: 0 } }, "none answers: SERVFAIL");
      t.not(answer.addresses[0], forgedAddress);
    }
    for (const { addresses } of slow!) t.same(addresses, ["192.0.2.2"], "the second answers");
    for (const { addresses } of slower!) t.same(addresses, ["192.0.2.3"], "the third answers");
    for (const { elapsedMs } of [lost, forged, slow, slower].flat().map((answer) => answer!))
      t.ok(elapsedMs < promisedMs, `after ${elapsedMs} ms`);
    for (const { addresses } of neighbour!)
      t.same(addresses, [await client.ip("blue")], "neighbours are answered meanwhile");
    for (const server of asked) {
      const seen = (await server.queries()).filter(({ name }) => name === "lost.test");
      // Each is asked as the client asks, and where nothing is heard over TCP, over UDP as well.
      t.same(seen.map(({ transport }) => transport).sort(), ["tcp", "udp", "udp"], "one try for everybody who asks");
    }
  });

  await t.test("a late reply answers nothing but its own question", async (t) => {
    await fresh();
    for (const server of servers) {
      await server.answer("late.test", "A", "192.0.2.1");
      await server.answer("other.test", "A", "192.0.2.9");
      await server.delay(300);
    }
    await t.rejects(client.dig("late.test", "A", { timeoutMs: 50 }), /no answer/);
    const others = await Promise.all(Array.from({ length: 20 }, () => client.dig("other.test")));
    t.same([...new Set(others.flatMap(({ addresses }) => addresses))], ["192.0.2.9"]);
  });

  await t.test("local names never", async (t) => {
    await fresh();
    const names = [
      "client",
      "CLIENT",
      "client.blue",
      "Client.Blue",
      client.id.slice(0, 12),
      "_80._tcp.client",
      "_http._tcp.client.blue",
      "_tcp.client",
    ];
    const types = [
      "A",
      "AAAA",
      "TXT",
      "UNKNOWN_65",
      "ANY",
      "SRV",
      "MX",
      "CNAME",
      "NS",
      "SOA",
      "CAA",
      "PTR",
      "DS",
      "UNKNOWN_4242",
    ];
    for (const name of names)
      for (const type of types) await Promise.all(transports.map(({ tcp }) => client.dig(name, type, { tcp })));
    t.same(await askedOf(...servers), []);
  });
});

t.test("each container has the upstreams Docker gives it", async (t) => {
  const { host, servers } = await hostWithUpstreams(t, {
    resolvConf: `nameserver 127.0.0.53\nnameserver ${addresses[0]}\n`,
  });
  const [first, second, third, fourth] = servers;
  await host.network("blue");
  const [plain, own, loopback, several, dotted] = await Promise.all([
    host.container({ name: "plain", networks: ["blue"] }),
    host.container({ name: "own", networks: ["blue"], options: [`--dns=${addresses[1]}`] }),
    host.container({ name: "loopback", networks: ["blue"], options: ["--dns=127.0.0.2"] }),
    host.container({
      name: "several",
      networks: ["blue"],
      options: [3, 2, 1, 0].map((index) => `--dns=${addresses[index]}`),
    }),
    host.container({ name: "dotted", networks: ["blue"], options: ["--dns-opt=ndots:2", `--dns=${addresses[0]}`] }),
  ]);
  const pontoon = await host.pontoon({ config: noCache });
  await pontoon.answersIn(plain, own, loopback, several, dotted);
  for (const [index, server] of servers.entries()) await server.answer("example.test", "A", `192.0.2.${index + 2}`);
  const clear = () => Promise.all(servers.map((server) => server.clear()));

  await t.test("of its own", async (t) => {
    t.same((await own.dig("example.test")).addresses, ["192.0.2.3"]);
    t.same(await askedOf(first, third, fourth), []);
  });

  await t.test("three at most, in their order", async (t) => {
    await clear();
    t.same((await several.dig("example.test")).addresses, ["192.0.2.5"]);
    for (const server of [fourth, third, second]) await server.rcode("example.test", "SERVFAIL");
    t.equal((await several.dig("example.test")).rcode, "SERVFAIL");
    t.same(await askedOf(first), [], "the fourth is never asked");
    for (const server of servers) await server.reset();
  });

  await t.test("a loopback address of the host is asked on the host", async (t) => {
    const answered = await answerOne(host, "127.0.0.53", "192.0.2.53");
    t.same((await plain.dig("www.example.test")).addresses, ["192.0.2.53"]);
    await answered();
    await first.answer("example.test", "A", "192.0.2.2");
    t.same((await plain.dig("example.test")).addresses, ["192.0.2.2"], "and the next upstream when nobody is there");
  });

  await t.test("a loopback address given with --dns is the container's own", async (t) => {
    await clear();
    const answered = await answerOne(host, "127.0.0.2", "192.0.2.53", loopback);
    t.same((await loopback.dig("www.example.test")).addresses, ["192.0.2.53"]);
    await answered();
    const alone = await loopback.dig("www.example.test");
    t.equal(alone.rcode, "SERVFAIL");
    t.same(await askedOf(...servers), []);
  });

  await t.test("single labels are forwarded, except under ndots, as with Docker", async (t) => {
    await clear();
    await first.answer("printer", "A", "192.0.2.77");
    t.same((await plain.dig("printer")).addresses, ["192.0.2.77"]);
    await clear();
    for (const type of ["A", "AAAA"])
      t.match(await dotted.dig("printer", type), { rcode: "NOERROR", addresses: { length: 0 } });
    t.same(await askedOf(...servers), []);
    t.same((await dotted.dig("example.test")).addresses, ["192.0.2.2"]);
  });
});

t.test("dockerd's own --dns goes before the host's resolv.conf", async (t) => {
  const { host, servers } = await hostWithUpstreams(t, { resolvConf, dockerd: [`--dns=${addresses[3]}`] });
  await servers[3].answer("example.test", "A", "192.0.2.5");
  await host.network("blue");
  const client = await host.container({ networks: ["blue"] });
  const pontoon = await host.pontoon({ config: noCache });
  await pontoon.answersIn(client);
  t.same((await client.dig("example.test")).addresses, ["192.0.2.5"]);
  t.same(await askedOf(...servers.slice(0, 3)), []);
});

interface HostWithUpstreams {
  host: DockerHost;
  servers: [Upstream, Upstream, Upstream, Upstream];
}

async function hostWithUpstreams(
  t: TestOwner,
  options: { resolvConf: string; dockerd?: string[] },
): Promise<HostWithUpstreams> {
  const host = await DockerHost.start(t, options);
  const outside = await host.outside();
  const [first, second, third, fourth] = addresses;
  const start = (address: string) => outside.dns({ address });
  return { host, servers: [await start(first), await start(second), await start(third), await start(fourth)] };
}

/** What a name stands for, or why the reply is no DNS message. */
async function addressesOrError(client: Container, name: string): Promise<string[]> {
  try {
    return (await client.dig(name, "A", patient)).addresses;
  } catch (error) {
    return [(error as Error).message];
  }
}

/** What upstreams have been asked since they were cleared. */
async function askedOf(...servers: Upstream[]): Promise<Pick<SeenQuery, "name" | "type">[]> {
  const seen = await Promise.all(servers.map((server) => server.queries()));
  return seen.flat().map(({ name, type }) => ({ name, type }));
}

/**
 * Answers one DNS question with an address, at a loopback address of the host or of a container.
 * Resolves when it listens, to a function that waits until it has answered.
 */
async function answerOne(
  host: DockerHost,
  at: string,
  answer: string,
  container?: Container,
): Promise<() => Promise<unknown>> {
  const options = container === undefined ? {} : { netns: container };
  const answered = host.exec([process.execPath, "--eval", oneAnswer, at, ...answer.split(".")], options);
  const listens = async () => (await host.exec(["ss", "-Hlun", "sport = :53"], options)).stdout.includes(at);
  await until(listens, { what: `a server listens at ${at}` });
  return () => answered;
}

const oneAnswer = `
  const [at, ...address] = process.argv.slice(1);
  const socket = require("node:dgram").createSocket("udp4");
  socket.on("message", (query, from) => {
    let end = 12;
    while (query[end] !== 0) end += 1 + query[end];
    query.writeUInt16BE(0x8180, 2);
    query.writeUInt16BE(1, 6);
    query.writeUInt16BE(0, 10);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.map(Number)]);
    socket.send(Buffer.concat([query.subarray(0, end + 5), record]), from.port, from.address, () => socket.close());
  });
  socket.bind(53, at);
`;
