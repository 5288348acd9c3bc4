import { decode } from "dns-packet";
import t from "tap";
import {
  DockerHost,
  until,
  type Container,
  type DnsResponse,
  type Outside,
  type Pontoon,
  type TestOwner,
  type Upstream,
} from "../lab/index.js";

/** Resolvers ask again after 5 s: a question has ended before. The probe waits longer, so that a late end is told from none. */
const promisedMs = 5_000;
const patient = { timeoutMs: 8_000 };
const withEdns = { ...patient, edns: {} };
/** TTL of an expired answer (RFC 8767). */
const staleTtl = 30;
/** Extended errors (RFC 8914). */
const codes = { other: 0, stale: 3, prohibited: 18, noReachableAuthority: 22, network: 23 };
const hostUpstreams = ["10.77.0.3", "10.77.0.4"] as const;
const loopAddress = "172.30.0.53";

t.test("answers of upstreams are kept", async (t) => {
  const place = await start(t);

  await t.test("a name asked for again is asked of the upstream once, by each container for itself", async (t) => {
    const upstream = await place.upstream();
    const [one, two] = await Promise.all([place.client(upstream), place.client(upstream)]);
    await upstream.answer("example.test", "A", ["192.0.2.1", "192.0.2.2"]);
    for (const client of [one, one, two])
      t.same((await client.dig("EXAMPLE.test")).addresses.sort(), ["192.0.2.1", "192.0.2.2"]);
    t.match(await two.dig("example.test", "A", { tcp: true }), { questionName: "example.test", rcode: "NOERROR" });
    const firsts = new Set<string | undefined>();
    await until(async () => firsts.add((await one.dig("example.test")).addresses[0]).size === 2, {
      what: "either address comes first in turn",
    });
    const seen = await upstream.queries();
    t.equal(seen.length, 2);
    t.match(seen[0], { edns: { udpPayloadSize: 1232 } }, "with EDNS, and a payload that fits into one packet");

    const other = await place.upstream();
    await other.answer("example.test", "A", "192.0.2.9");
    t.same(
      (await (await place.client(other)).dig("example.test")).addresses,
      ["192.0.2.9"],
      "one with other upstreams has their answers",
    );
  });

  await t.test("a denial is kept as long as the zone's SOA says, and its TTL counts down", async (t) => {
    const upstream = await place.upstream();
    const client = await place.client(upstream);
    await upstream.answer("example.test", "A", "192.0.2.1");
    for (const [name, rcode] of [
      ["nobody.test", "NXDOMAIN"],
      ["example.test", "NOERROR"],
    ] as const) {
      const denied = await client.dig(name, "AAAA");
      t.match(denied, { rcode, answers: { length: 0 }, authority: { length: 1, 0: { type: "SOA", ttl: 60 } } });
      await until(async () => (await client.dig(name, "AAAA")).authority[0]!.ttl < 60, {
        what: "the SOA's TTL counts down",
      });
      t.equal((await client.dig(name, "AAAA")).rcode, rcode);
    }
    t.equal((await upstream.queries()).length, 2);
  });

  await t.test("TTLs count down, and what has expired is asked for again", async (t) => {
    const upstream = await place.upstream();
    const client = await place.client(upstream);
    await upstream.answer("www.example.test", "CNAME", "example.test", { ttl: 30 });
    await upstream.answer("example.test", "A", "192.0.2.1", { ttl: 3 });
    const ttls = async () => (await client.dig("www.example.test")).answers.map(({ ttl }) => ttl);
    t.same(await ttls(), [30, 3]);
    let last = [30, 3];
    await until(
      async () => {
        const now = await ttls();
        if ((await upstream.queries()).length > 1) return true;
        t.ok(
          now[0]! <= last[0]! && now[1]! <= last[1]! && now[0]! - now[1]! === 27,
          `${now.join(", ")} after ${last.join(", ")}`,
        );
        last = now;
        return false;
      },
      { everyMs: 100, what: "the upstream is asked again" },
    );
    t.ok(last[1]! <= 1, "not before the TTL was down");
    t.same(await ttls(), [30, 3]);
  });

  await t.test("who answers by who asks is believed for who asked", async (t) => {
    const upstream = await place.upstream();
    const [one, two] = await Promise.all([place.client(upstream), place.client(upstream)]);
    await upstream.answer("view.test", "A", "192.0.2.1");
    t.same((await one.dig("view.test")).addresses, ["192.0.2.1"]);
    await upstream.answer("view.test", "A", "192.0.2.2");
    for (const options of [{}, { tcp: true }]) {
      t.same((await two.dig("view.test", "A", options)).addresses, ["192.0.2.2"]);
      t.same((await one.dig("view.test", "A", options)).addresses, ["192.0.2.1"]);
    }
  });

  await t.test("what is kept can be forgotten", async (t) => {
    const upstream = await place.upstream();
    const client = await place.client(upstream);
    for (const name of ["one.test", "two.test"]) await upstream.answer(name, "A", "192.0.2.1");
    const addresses = () =>
      Promise.all(["one.test", "two.test"].map(async (name) => (await client.dig(name)).addresses.join()));
    t.same(await addresses(), ["192.0.2.1", "192.0.2.1"]);
    for (const name of ["one.test", "two.test"]) await upstream.answer(name, "A", "192.0.2.2");
    t.same(await addresses(), ["192.0.2.1", "192.0.2.1"]);
    t.match(await place.pontoon.cli("dns", "flush", "One.test"), { stdout: /^1 answer of upstream servers forgotten/ });
    t.same(await addresses(), ["192.0.2.2", "192.0.2.1"]);
    t.match(await place.pontoon.cli("dns", "flush"), { stdout: /answers of upstream servers forgotten/ });
    t.same(await addresses(), ["192.0.2.2", "192.0.2.2"]);
    t.match(await place.pontoon.cli("dns", "flush", "a..b"), { exitCode: 1, stderr: /a\.\.b is not a name in DNS/ });
  });

  await t.test("fifty who ask at once cause one question of each container", async (t) => {
    const upstream = await place.upstream();
    const clients = await Promise.all([1, 2].map(() => place.client(upstream)));
    await upstream.answer("example.test", "A", "192.0.2.1");
    await upstream.delay(400);
    const tallies = await Promise.all(clients.map(async (client) => (await client.probe()).burst("example.test", 25)));
    for (const tally of tallies) t.match(tally, { sent: 25, rcodes: { NOERROR: 25 }, errors: { length: 0 } });
    t.equal((await upstream.queries()).length, 2);
  });

  await t.test("while every upstream is silent, an expired answer is better than none", async (t) => {
    const upstreams = [await place.upstream(), await place.upstream()];
    const client = await place.client(...upstreams);
    for (const upstream of upstreams) await upstream.answer("example.test", "A", "192.0.2.1", { ttl: 1 });
    t.same((await client.dig("example.test")).addresses, ["192.0.2.1"]);
    for (const upstream of upstreams) await upstream.silence(true);
    const ask = () => client.dig("example.test", "A", withEdns);
    const isStale = async () => {
      const answer = await ask();
      return answer.answers[0]?.ttl === staleTtl ? answer : undefined;
    };
    const stale = (await until(isStale, { timeoutMs: 10_000, what: `the answer comes with a TTL of ${staleTtl} s` }))!;
    t.match(stale, { rcode: "NOERROR", addresses: { length: 1, 0: "192.0.2.1" } });
    t.equal(extendedErrorOf(stale)?.code, codes.stale);
    t.ok(stale.elapsedMs < promisedMs, `after ${stale.elapsedMs} ms`);
    await until(async () => (await ask()).elapsedMs < 500, {
      timeoutMs: 10_000,
      what: "asking anew has failed a moment ago",
    });
    const times: number[] = [];
    for (let turn = 0; turn < 100; turn++) times.push((await ask()).elapsedMs);
    t.comment(`then it is there after ${median(times)} ms (median)`);
    t.equal(
      (await client.dig("other.test", "A", patient)).rcode,
      "SERVFAIL",
      "of what was never known there is nothing",
    );

    await upstreams[1]!.silence(false);
    await upstreams[1]!.answer("example.test", "A", "192.0.2.2", { ttl: 60 });
    await until(async () => (await ask()).addresses[0] === "192.0.2.2", {
      timeoutMs: 30_000,
      what: "the answer of an upstream that is back",
    });
  });
});

t.test("upstreams that fail", async (t) => {
  const place = await start(t);

  for (const { how, delayMs } of [
    { how: "as quick as the others", delayMs: 0 },
    { how: "slower than the others", delayMs: 30 },
  ])
    await t.test(`the first of three is dead, and comes back ${how}`, async (t) => {
      const [first, second, third] = [await place.upstream(), await place.upstream(), await place.upstream()];
      const client = await place.client(first, second, third);
      await first.silence(true);
      await first.delay(delayMs);
      const { rcode, elapsedMs } = await client.dig("dead.test", "A", patient);
      t.equal(rcode, "NXDOMAIN");
      t.comment(`the first question takes ${elapsedMs} ms`);
      let zone = 0;
      const isPassedBy = async () => (await client.dig(`dead-zone-${zone++}.test`, "A", patient)).elapsedMs < 500;
      await until(isPassedBy, { timeoutMs: 30_000, what: "the first is known to be down" });
      t.comment(`question ${zone + 1} is the first that does not wait for it`);
      const times: number[] = [];
      for (let turn = 0; turn < 100; turn++) times.push((await client.dig(`dead-${turn}.test`)).elapsedMs);
      t.comment(`the next ones take ${median(times)} ms (median)`);
      for (const server of [first, third])
        t.ok((await server.queries()).length < 10, "the dead one is hardly asked any more, and hardly the third");

      await first.silence(false);
      let turn = 0;
      const firstAlone = async () => {
        const name = `back-${turn++}.test`;
        await client.dig(name);
        const asked = await Promise.all(
          [first, second].map(async (server) => (await server.queries()).some((query) => query.name === name)),
        );
        return asked[0] && !asked[1];
      };
      await until(firstAlone, { timeoutMs: 30_000, everyMs: 100, what: "the revived upstream is asked alone again" });
    });

  await t.test("the order is policy: the first is believed however quick and sure another is", async (t) => {
    const [intranet, public_] = [await place.upstream(), await place.upstream()];
    const client = await place.client(intranet, public_);
    await intranet.delay(400);
    await intranet.answer("nas.corp.test", "A", "192.0.2.1");
    await public_.answer("nas.corp.test", "A", "192.0.2.2");
    for (let turn = 0; turn < 5; turn++) {
      await intranet.answer(`host-${turn}.corp.test`, "A", "192.0.2.1");
      for (const name of ["nas.corp.test", `host-${turn}.corp.test`])
        for (const tcp of [false, true])
          t.same((await client.dig(name, "A", { tcp, ...patient })).addresses, ["192.0.2.1"], name);
    }
    t.same(await public_.queries(), [], "nor does the other learn what is asked");
  });

  await t.test("one that drops or refuses EDNS answers all the same", async (t) => {
    for (const how of ["dropped", "refused"] as const) {
      const old = await place.upstream();
      const client = await place.client(old);
      await old.withEdns(how);
      await old.answer("example.test", "A", "192.0.2.1");
      for (const options of [{}, { edns: {} }, { tcp: true }])
        t.match(
          await client.dig("example.test", "A", { ...options, ...patient }),
          { rcode: "NOERROR", addresses: { length: 1, 0: "192.0.2.1" } },
          how,
        );
    }
  });

  await t.test("one that says SERVFAIL or REFUSED, or refuses connections, is passed over", async (t) => {
    const [first, second, third] = [await place.upstream(), await place.upstream(), await place.upstream()];
    const client = await place.client(first, second, third);
    await first.rcode("example.test", "SERVFAIL");
    await second.rcode("example.test", "REFUSED");
    await third.answer("example.test", "A", "192.0.2.3");
    t.same((await client.dig("example.test")).addresses, ["192.0.2.3"]);
    await first.stop();
    await second.stop();
    await third.answer("www.example.test", "A", "192.0.2.4");
    t.same((await client.dig("www.example.test")).addresses, ["192.0.2.4"]);
  });

  await t.test("a failure tells why, to whoever speaks EDNS", async (t) => {
    const [silent, dead, refusing, forbidden] = [
      await place.upstream(),
      await place.upstream(),
      await place.upstream(),
      await place.upstream(),
    ];
    await silent.silence(true);
    await dead.stop();
    await refusing.rcode("example.test", "REFUSED");
    await place.host.network("vault", { internal: true });
    const [timeout, network, refused, loop, internal] = await Promise.all([
      place.client(silent),
      place.client(dead),
      place.client(refusing),
      place.client({ address: "127.0.0.11" }),
      place.host.container({ networks: ["vault"], options: [`--dns=${forbidden.address}`] }),
    ]);
    await place.pontoon.answersIn(internal);
    const cases = [
      { why: "timeout", client: timeout, code: codes.noReachableAuthority, text: /no answer.*10\.77\.0\.|time/ },
      { why: "network", client: network, code: codes.network, text: /10\.77\.0\.\d+: \w/ },
      { why: "refused", client: refused, code: codes.other, text: /10\.77\.0\.\d+ says REFUSED/ },
      { why: "no upstream but itself", client: loop, code: codes.other, text: /upstream.* itself/ },
      { why: "policy", client: internal, code: codes.prohibited, text: /internal networks/ },
    ];
    await Promise.all(
      cases.map(async ({ why, client, code, text }) => {
        const [answer, plain] = await Promise.all([
          client.dig("example.test", "A", withEdns),
          client.dig("example.test", "A", patient),
        ]);
        for (const each of [answer, plain]) {
          t.match(each, { rcode: why === "refused" ? "REFUSED" : "SERVFAIL", answers: { length: 0 } }, why);
          t.ok(each.elapsedMs < promisedMs, `${why}: after ${each.elapsedMs} ms`);
        }
        t.match(extendedErrorOf(answer), { code, text }, why);
        t.equal(plain.edns, undefined, `${why}: no EDNS for who does not speak it`);
      }),
    );
    t.same(await forbidden.queries(), [], "nothing came from the internal network");
  });

  await t.test("an upstream that asks us back", async (t) => {
    await place.host.network("ring", { subnet: "172.30.0.0/24" });
    const ring = (name: string, ip?: string) =>
      place.host.container({
        name,
        networks: [{ name: "ring", ...(ip !== undefined && { ip }) }],
        options: [`--dns=${loopAddress}`],
      });
    const relay = await ring("relay", loopAddress);
    const client = await ring("asks-relay");
    await place.pontoon.answersIn(relay, client);
    const relayed = place.host.exec([process.execPath, "--eval", relayOne], { netns: relay });
    const listens = async () =>
      (await place.host.exec(["ss", "-Hlun", "sport = :53"], { netns: relay })).stdout.includes(":53");
    await until(listens, { what: "the upstream listens" });
    const answer = await client.dig("example.test", "A", withEdns);
    t.match(answer, { rcode: "SERVFAIL" });
    t.ok(answer.elapsedMs < promisedMs, `after ${answer.elapsedMs} ms`);
    t.equal(extendedErrorOf(answer)?.code, codes.noReachableAuthority);
    const rounds = Number((await relayed).stdout.trim());
    t.ok(rounds >= 1 && rounds < 20, `the question went round ${rounds} times`);
  });
});

t.test("answers of any size", async (t) => {
  const place = await start(t);
  const upstream = await place.upstream();
  const client = await place.client(upstream);
  const [some, many] = [25, 100].map((count) => Array.from({ length: count }, (_, index) => `192.0.2.${index}`)) as [
    string[],
    string[],
  ];
  await upstream.answer("some.test", "A", some); // between 512 and 1232 bytes
  await upstream.answer("many.test", "A", many); // between 1232 and 4096 bytes
  for (const { name, all, least, tooSmall } of [
    { name: "some.test", all: some, least: 1232, tooSmall: [undefined, 512] },
    { name: "many.test", all: many, least: 4096, tooSmall: [undefined, 512, 1232, 2000] },
  ]) {
    for (const udpPayloadSize of tooSmall) {
      const answer = await client.dig(name, "A", udpPayloadSize === undefined ? {} : { edns: { udpPayloadSize } });
      t.match(answer, { rcode: "NOERROR", flags: { tc: true } }, `${name} with ${udpPayloadSize ?? "no EDNS"}`);
      t.ok(answer.bytes.length <= (udpPayloadSize ?? 512), `${answer.bytes.length} bytes`);
      t.equal(answer.edns === undefined, udpPayloadSize === undefined);
    }
    const [inOne, overTcp] = [
      await client.dig(name, "A", { edns: { udpPayloadSize: least } }),
      await client.dig(name, "A", { tcp: true }),
    ];
    t.match(inOne, { flags: { tc: false } }, `${name} with ${least}`);
    t.match(overTcp, { flags: { tc: false }, edns: undefined }, `${name} over TCP`);
    for (const { addresses } of [inOne, overTcp]) t.same(addresses.sort(), [...all].sort());
  }
  t.same(
    (await upstream.queries()).map(({ name, transport, edns }) => [name, transport, edns?.udpPayloadSize]),
    [
      ["some.test", "udp", 1232],
      ["many.test", "udp", 1232],
      ["many.test", "tcp", 1232],
    ],
  );
});

t.test("the host's resolv.conf is followed while containers run", async (t) => {
  const place = await start(t);
  const [before, after] = await Promise.all(hostUpstreams.map((address) => place.outside.dns({ address })));
  await before!.answer("example.test", "A", "192.0.2.3");
  await after!.answer("example.test", "A", "192.0.2.4");
  const [plain, own] = [await place.host.container({ networks: ["blue"] }), await place.client(before!)];
  await place.pontoon.answersIn(plain);
  for (const client of [plain, own]) t.same((await client.dig("example.test")).addresses, ["192.0.2.3"]);
  place.host.writeFile("/etc/resolv.conf", `nameserver ${hostUpstreams[1]}\n`);
  if (place.host.statesUpstreams) await plain.restart();
  await until(async () => (await plain.dig("example.test", "A", patient)).addresses[0] === "192.0.2.4", {
    timeoutMs: 15_000,
    what: "the new upstream is asked",
  });
  t.same((await own.dig("example.test")).addresses, ["192.0.2.3"], "whoever was given --dns keeps it");
});

/** A running daemon on a host where each test makes upstreams and clients of its own. */
interface Place {
  host: DockerHost;
  outside: Outside;
  pontoon: Pontoon;
  /** A server at an address no other test has. */
  upstream: () => Promise<Upstream>;
  /** A container that asks these servers. */
  client: (...upstreams: { address: string }[]) => Promise<Container>;
}

async function start(owner: TestOwner): Promise<Place> {
  const host = await DockerHost.start(owner, { resolvConf: `nameserver ${hostUpstreams[0]}\n` });
  const outside = await host.outside();
  await host.network("blue");
  const pontoon = await host.pontoon();
  let made = 10;
  return {
    host,
    outside,
    pontoon,
    upstream: () => outside.dns({ address: `10.77.0.${made++}` }),
    client: async (...upstreams) => {
      const client = await host.container({
        networks: ["blue"],
        options: upstreams.map(({ address }) => `--dns=${address}`),
      });
      await pontoon.answersIn(client);
      return client;
    },
  };
}

/** What the reply's extended error says (RFC 8914). */
function extendedErrorOf({ bytes }: DnsResponse): { code: number; text: string } | undefined {
  for (const record of decode(bytes).additionals ?? []) {
    if (record.type !== "OPT") continue;
    for (const { code, data } of record.options as unknown as { code: number; data: Buffer }[])
      if (code === 15) return { code: data.readUInt16BE(0), text: data.toString("utf8", 2) };
  }
  return undefined;
}

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)]!;
}

/** An upstream that asks its own resolver, until that has answered; then it prints how many questions it had. */
const relayOne = `
  const { createSocket } = require("node:dgram");
  const server = createSocket("udp4");
  const client = createSocket("udp4");
  let asked = 0;
  server.on("message", (query) => {
    asked++;
    client.send(query, 53, "127.0.0.11");
  });
  client.on("message", () => {
    console.log(asked);
    process.exit();
  });
  server.bind(53, "${loopAddress}");
`;
