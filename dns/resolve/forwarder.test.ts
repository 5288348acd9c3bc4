import t from "tap";
import dnsPacket from "dns-packet";
import { FORWARD_TIME } from "../forward/forward.js";
import type { ForwardedAnswer, ForwardedQuestion } from "./forwarder.js";
import { TYPE } from "../wire/query.js";
import { ForwarderBench, askedOf, knowing, packed, questionFor } from "../testing/forwarder.js";
import { FakeUpstream, deadUpstream } from "../testing/upstream.js";

const web = questionFor("web.example");

function addressOf(answer: ForwardedAnswer | undefined): string | undefined {
  if (answer?.kind !== "reply") return answer?.reason;
  const first = dnsPacket.decode(Buffer.from(answer.stored.bytes, "latin1")).answers?.[0];
  return first?.type === "A" ? first.data : "no address";
}

t.test("however many ask, one question goes out", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const sandboxes = ["one", "two"].map((id) => bench.sandbox(id, [fake.upstream]));
  const asked = Array.from({ length: 50 }, (_, index) => bench.ask(sandboxes[index % 2]!, web));
  await bench.asked(fake);
  asked.push(bench.ask(sandboxes[1]!, web));
  const { query, reply } = fake.received[0]!;
  await reply(packed(query, { a: ["10.0.0.7"] }));
  for (const each of asked) t.equal(addressOf(await bench.answer(each)), "10.0.0.7");
  t.ok(asked.every(({ answers }) => answers.length === 1));
  t.equal(fake.received.length, 1);
  t.equal(bench.health.report()[0]?.asked, 1);
});

t.test("whoever asks again after a while has the question sent again: it may have been lost", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [fake.upstream]);
  const first = bench.ask(sandbox, web);
  await bench.asked(fake);
  bench.loop.pass(400);
  bench.ask(sandbox, web);
  await bench.settle();
  t.equal(fake.received.length, 1, "not at once");
  bench.loop.pass(200);
  const again = bench.ask(sandbox, web);
  await bench.asked(fake, 2);
  const { query, reply } = fake.received[1]!;
  await reply(packed(query, { a: ["10.0.0.7"] }));
  for (const each of [first, again]) t.equal(addressOf(await bench.answer(each)), "10.0.0.7");
});

t.test("another question is another question", async (t) => {
  const [fake, other] = [
    await knowing(t, { "web.example": { a: ["10.0.0.7"] } }),
    await knowing(t, { "web.example": { a: ["10.0.0.8"] } }),
  ];
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [fake.upstream]);
  for (const given of [
    web,
    questionFor("web.example", TYPE.AAAA),
    { ...web, flags: 0x0110 },
    { ...web, flags: 0x0120 },
    { ...web, flags: 0 },
    { ...web, dnssecOk: true },
    { ...web, clientSubnet },
  ])
    await bench.answer(bench.ask(sandbox, given));
  t.same(askedOf(fake), ["web.example A", "web.example AAAA", ...Array<string>(5).fill("web.example A")]);
  t.equal(
    addressOf(await bench.answer(bench.ask(bench.sandbox("two", [other.upstream]), web))),
    "10.0.0.8",
    "other upstreams, another answer",
  );
});

/** 192.0.2.0/24, as an EDNS option has it. */
const clientSubnet = "\x00\x01\x18\x00\xc0\x00\x02";

t.test("what the query says is what the client asked", async (t) => {
  const fake = await knowing(t, {});
  const bench = new ForwarderBench(t);
  const cases: [Partial<ForwardedQuestion>, object][] = [
    [
      {},
      {
        flag_rd: true,
        flag_ad: false,
        flag_cd: false,
        additionals: { length: 1, 0: { type: "OPT", udpPayloadSize: 1232, flag_do: false, options: { length: 0 } } },
      },
    ],
    [
      { flags: 0x0110, dnssecOk: true },
      { flag_rd: true, flag_cd: true, additionals: { length: 1, 0: { flag_do: true } } },
    ],
    [{ flags: 0x0120 }, { flag_rd: true, flag_ad: true, flag_cd: false }],
    [{ flags: 0 }, { flag_rd: false }],
    [
      { flags: 0xffff },
      { flag_qr: false, flag_aa: false, flag_tc: false, flag_rd: true, flag_ra: false, flag_z: false },
    ],
    [
      { clientSubnet },
      {
        additionals: {
          length: 1,
          0: { options: { length: 1, 0: { code: 8, ip: "192.0.2.0", sourcePrefixLength: 24 } } },
        },
      },
    ],
  ];
  for (const [index, [given, expected]] of cases.entries()) {
    await bench.answer(bench.ask(bench.sandbox(`s${index}`, [fake.upstream]), { ...web, ...given }));
    t.match(dnsPacket.decode(fake.received.at(-1)!.query), expected, JSON.stringify(given));
  }
});

t.test("an answer is kept for all with the same upstreams, as long as it lasts", async (t) => {
  const fake = await knowing(t, { "web.example": { a: ["10.0.0.7"], ttl: 60 } });
  const bench = new ForwarderBench(t);
  const [one, two, alone] = [
    bench.sandbox("one", [fake.upstream]),
    bench.sandbox("two", [fake.upstream]),
    bench.sandbox("alone", []),
  ];
  t.equal(bench.forwarder.cached(one, web), undefined);
  t.match(await bench.answer(bench.ask(one, web)), {
    kind: "reply",
    age: 0,
    stale: false,
    source: { kind: "upstream", upstream: fake.upstream, transport: "udp", cached: undefined },
  });
  bench.loop.pass(10_000);
  const cached = bench.forwarder.cached(two, web);
  t.match(cached, { age: 10, stale: false, source: { cached: true } });
  t.equal(addressOf(cached), "10.0.0.7");
  t.equal(bench.forwarder.cached(alone, web), undefined);
  bench.loop.pass(50_000);
  t.equal(bench.forwarder.cached(two, web), undefined, "it has expired, and the upstream is up");
  t.match(await bench.answer(bench.ask(two, web)), { stale: false, age: 0 });
  t.equal(fake.received.length, 2);
});

t.test("the loopback address of one container is not another's", (t) => {
  const bench = new ForwarderBench(t);
  const inside = [{ ip: "127.0.0.1", port: 53, from: "container" }] as const;
  t.not(bench.sandbox("one", inside).upstreamSet, bench.sandbox("two", inside).upstreamSet);
  const forwarder = [{ ip: "10.0.0.1", port: 53, from: "container" }] as const;
  t.equal(bench.sandbox("three", forwarder).upstreamSet, bench.sandbox("four", forwarder).upstreamSet);
  t.end();
});

t.test(
  "what was asked from inside a container is shared on its networks, what was asked from the host with all",
  (t) => {
    const on = (...ids: string[]) => ({ networks: ids.map((id) => ({ id, links: [] })) });
    for (const [from, shared] of [
      ["container", false],
      ["host", true],
    ] as const) {
      const bench = new ForwarderBench(t);
      const setOf = (...ids: string[]) =>
        bench.sandbox(ids.join(), [{ ip: "10.0.0.1", port: 53, from }], on(...ids)).upstreamSet;
      t.equal(setOf("red", "blue"), setOf("blue", "red"), `${from}: on the same networks`);
      for (const ids of [["red"], ["red", "blue", "green"], ["green"]])
        t.equal(setOf(...ids) === setOf("red", "blue"), shared, `${from}: on others`);
    }
    t.end();
  },
);

t.test("negative answers are kept as the SOA says", async (t) => {
  const fake = await knowing(t, { "soa.example": { rcode: 3, soa: 20 }, "none.example": { rcode: 3 } });
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [fake.upstream]);
  const [withSoa, without] = [questionFor("soa.example"), questionFor("none.example")];
  for (const question of [withSoa, without]) await bench.answer(bench.ask(sandbox, question));
  t.match(bench.forwarder.cached(sandbox, withSoa), { stored: { rcode: 3 } });
  t.equal(bench.forwarder.cached(sandbox, without), undefined);
  bench.loop.pass(20_000);
  t.equal(bench.forwarder.cached(sandbox, withSoa), undefined);
});

/** A bench that has learnt of a name whose answer has expired since; the upstream says nothing more. */
async function expired(t: Parameters<typeof knowing>[0]) {
  const names: Record<string, { a: string[]; ttl: number; silent?: boolean }> = {
    "web.example": { a: ["10.0.0.7"], ttl: 60 },
  };
  const fake = await knowing(t, names);
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [fake.upstream]);
  await bench.answer(bench.ask(sandbox, web));
  names["web.example"] = { a: ["10.0.0.8"], ttl: 60, silent: true };
  bench.loop.pass(60_000);
  return { fake, bench, sandbox, names };
}

t.test(
  "an expired answer is given when asking anew has failed, not before, and then at once while it is tried again",
  async (t) => {
    const { fake, bench, sandbox, names } = await expired(t);
    const [first, second] = [bench.ask(sandbox, web), bench.ask(sandbox, web)];
    await bench.asked(fake, 2);
    bench.loop.pass(FORWARD_TIME - 10);
    t.same([first.answers.length, second.answers.length], [0, 0]);
    bench.loop.pass(20);
    t.same([addressOf(first.answers[0]), addressOf(second.answers[0])], ["10.0.0.7", "10.0.0.7"]);
    t.match(first.answers, { length: 1, 0: { stale: true, source: { cached: true } } });
    for (let count = 0; count < 3; count++) t.match(bench.forwarder.cached(sandbox, web), { stale: true });
    await bench.asked(fake, 3);
    await bench.settle();
    t.equal(fake.received.length, 3, "once for all");
    names["web.example"] = { a: ["10.0.0.8"], ttl: 60 };
    bench.loop.pass(FORWARD_TIME + 10);
    t.match(bench.forwarder.cached(sandbox, web), { stale: true });
    await bench.loop.until("the upstream is back", () => bench.forwarder.cached(sandbox, web)?.stale === false);
    t.equal(addressOf(bench.forwarder.cached(sandbox, web)), "10.0.0.8");
  },
);

t.test("what another name's question came to says nothing of this one", async (t) => {
  const { fake, bench, sandbox, names } = await expired(t);
  names["web.example"] = { a: ["10.0.0.8"], ttl: 60 };
  for (const name of ["a.one.test", "a.two.test", "a.three.test", "a.four.test"]) {
    Object.assign(names, { [name]: { silent: true } });
    const asked = bench.ask(sandbox, questionFor(name));
    await bench.settle();
    bench.loop.pass(2010);
    bench.loop.pass(FORWARD_TIME);
    t.match(await bench.answer(asked), { kind: "failed" });
  }
  t.match(bench.health.report(), { length: 1, 0: { down: true } });
  t.equal(bench.forwarder.cached(sandbox, web), undefined, "it is asked");
  t.match(await bench.answer(bench.ask(sandbox, web)), { stale: false });
  t.equal(askedOf(fake).at(-1), "web.example A");
});

t.test("what was answered past a server in front is gone when its seconds are over", async (t) => {
  const [first, second] = [
    await FakeUpstream.start(t),
    await knowing(t, { "web.example": { a: ["10.0.0.7"], ttl: 600 } }),
  ];
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [first.upstream, second.upstream]);
  const asked = bench.ask(sandbox, web);
  await bench.asked(first);
  bench.loop.pass(1010);
  await bench.asked(second);
  bench.loop.pass(1000);
  t.equal(addressOf(await bench.answer(asked)), "10.0.0.7");
  t.equal(sandbox.flights, 1, "the first is still listened to");
  bench.loop.pass(4000);
  t.equal(sandbox.flights, 0);
  t.match(bench.forwarder.cached(sandbox, web), { stale: false });
  bench.loop.pass(1500);
  t.equal(bench.forwarder.cached(sandbox, web), undefined);
  second.udp.removeAllListeners("message");
  const again = bench.ask(sandbox, web);
  bench.loop.pass(FORWARD_TIME + 10);
  t.match(await bench.answer(again), { kind: "failed" }, "nor is it given for want of another");
});

t.test("what is forgotten is asked for again, and what is on its way by then is not kept", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [fake.upstream]);
  const other = questionFor("other.example");
  const answer = (index: number, ip: string) =>
    fake.received[index]!.reply(packed(fake.received[index]!.query, { a: [ip] }));
  const asked = [web, other].map((question) => bench.ask(sandbox, question));
  await bench.asked(fake, 2);
  t.equal(bench.forwarder.forget(web.key), 0);
  for (const index of [0, 1]) await answer(index, "10.0.0.7");
  for (const each of asked) t.equal(addressOf(await bench.answer(each)), "10.0.0.7");
  t.equal(bench.forwarder.cached(sandbox, web), undefined);
  t.ok(bench.forwarder.cached(sandbox, other));
  const again = bench.ask(sandbox, web);
  await bench.asked(fake, 3);
  await answer(2, "10.0.0.8");
  t.equal(addressOf(await bench.answer(again)), "10.0.0.8");
  t.equal(bench.forwarder.forget(web.key), 1);
  t.equal(bench.forwarder.cached(sandbox, web), undefined);
  t.ok(bench.forwarder.cached(sandbox, other));
  t.equal(bench.forwarder.forget(undefined), 1);
  t.equal(bench.forwarder.cached(sandbox, other), undefined);
});

t.test(
  "what was asked from inside a container is its own, unless answers are shared, and then only on its networks",
  (t) => {
    const upstreams = [{ ip: "10.0.0.1", port: 53, from: "container" }] as const;
    const bench = new ForwarderBench(t);
    const on = (...ids: string[]) => ids.map((id) => ({ id, links: [] }));
    const setOf = (id: string, sharesAnswers: boolean, ...networks: string[]) =>
      bench.sandbox(id, upstreams, { sharesAnswers, networks: on(...networks) }).upstreamSet;
    t.not(setOf("one", false, "front"), setOf("two", false, "front"));
    t.equal(setOf("one", true, "front"), setOf("two", true, "front"));
    t.not(setOf("one", true, "front"), setOf("two", true, "back"));
    t.end();
  },
);

t.test("an expired answer is better than a failure", async (t) => {
  const fake = await knowing(t, { "web.example": { a: ["10.0.0.7"], ttl: 60 } });
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [fake.upstream]);
  await bench.answer(bench.ask(sandbox, web));
  bench.loop.pass(60_000);
  fake.udp.removeAllListeners("message");
  const refusing = (query: Buffer, { port }: { port: number }) => void fake.sendTo(port, packed(query, { rcode: 5 }));
  fake.udp.on("message", refusing);
  t.match(await bench.answer(bench.ask(sandbox, web)), { kind: "reply", stale: true });
});

t.test("a failure is everybody's", async (t) => {
  const dead = await deadUpstream();
  const bench = new ForwarderBench(t);
  const [one, two] = [bench.sandbox("one", [dead]), bench.sandbox("two", [dead])];
  const asked = [bench.ask(one, web), bench.ask(two, web)];
  for (const each of asked)
    t.match(await bench.answer(each), { kind: "failed", why: "network", reason: /ECONNREFUSED/ });
  t.equal(one.questions, 0);
  t.equal(bench.cache.size, 0);
});

t.test("a reply that does not hold together is a failure", async (t) => {
  const fake = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => {
      const bytes = packed(query, { a: ["10.0.0.7"] });
      bytes.writeUInt16BE(0, 6); // what were the answer and OPT are now two additional records,
      bytes.writeUInt16BE(2, 8); // or rather authorities
      bytes.writeUInt16BE(0, 10);
      void reply(bytes);
    },
  });
  const bench = new ForwarderBench(t);
  t.match(await bench.answer(bench.ask(bench.sandbox("one", [fake.upstream]), web)), {
    kind: "failed",
    reason: "127.0.0.1: a malformed reply",
  });
});

t.test("whoever waits takes over when the one that asked is let go", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const [one, two, three] = [
    bench.sandbox("one", [fake.upstream]),
    bench.sandbox("two", [fake.upstream]),
    bench.sandbox("three", [fake.upstream]),
  ];
  const [first, second, third] = [bench.ask(one, web), bench.ask(two, web), bench.ask(three, web)];
  await bench.asked(fake);
  bench.loop.pass(600);
  one.letGo();
  await bench.asked(fake, 2);
  const { query, reply } = fake.received[1]!;
  await reply(packed(query, { a: ["10.0.0.7"] }));
  t.equal(addressOf(await bench.answer(second)), "10.0.0.7");
  t.equal(addressOf(await bench.answer(third)), "10.0.0.7");
  t.same(first.answers, [], "nobody is there to be told");
  t.same(
    [one, two, three].map(({ questions }) => questions),
    [0, 0, 0],
  );
});

t.test("to take over does not start the time anew", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const [one, two] = [bench.sandbox("one", [fake.upstream]), bench.sandbox("two", [fake.upstream])];
  bench.ask(one, web);
  const waiting = bench.ask(two, web);
  await bench.asked(fake);
  bench.loop.pass(FORWARD_TIME - 100);
  one.letGo();
  await bench.asked(fake, 2);
  t.same(waiting.answers, []);
  bench.loop.pass(110);
  t.match(await bench.answer(waiting), { kind: "failed", why: "timeout" });
});

t.test("whoever has other upstreams by now does not take over", async (t) => {
  const [fake, other] = [await FakeUpstream.start(t), await FakeUpstream.start(t)];
  const bench = new ForwarderBench(t);
  const [one, two] = [bench.sandbox("one", [fake.upstream]), bench.sandbox("two", [fake.upstream])];
  bench.ask(one, web);
  const waiting = bench.ask(two, web);
  await bench.asked(fake);
  two.update({ ...two.record, forwarding: { kind: "upstreams", upstreams: [other.upstream] } });
  one.letGo();
  t.match(await bench.answer(waiting), { kind: "failed", reason: /have changed/ });
  await bench.settle();
  t.equal(other.received.length, 0);
});

t.test("with nobody left who waits, letting go ends the question", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const one = bench.sandbox("one", [fake.upstream]);
  const asked = bench.ask(one, web);
  await bench.asked(fake);
  one.letGo();
  bench.loop.pass(FORWARD_TIME * 2);
  await bench.settle();
  t.same(asked.answers, []);
  t.same([one.questions, fake.received.length], [0, 1]);
});

t.test("a question nobody waits for any more is still learnt from", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [fake.upstream]);
  const [gone, stays] = [bench.ask(sandbox, web), bench.ask(sandbox, web)];
  await bench.asked(fake);
  gone.cancel();
  stays.cancel();
  await fake.received[0]!.reply(packed(fake.received[0]!.query, { a: ["10.0.0.7"] }));
  await bench.loop.until("it is kept", () => bench.forwarder.cached(sandbox, web) !== undefined);
  t.same([...gone.answers, ...stays.answers], []);
});

t.test("whoever is told may send the others away, and ask again", async (t) => {
  const fake = await knowing(t, { "web.example": { a: ["10.0.0.7"], ttl: 0 } });
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [fake.upstream]);
  let again: ReturnType<typeof bench.ask> | undefined;
  const waiting: { cancel(): void }[] = [];
  bench.forwarder.ask(sandbox, web, () => {
    for (const each of waiting) each.cancel();
    again = bench.ask(sandbox, web);
  });
  const other = bench.ask(sandbox, web);
  waiting.push(other);
  await bench.loop.until("the second question", () => again !== undefined);
  t.equal(addressOf(await bench.answer(again!)), "10.0.0.7");
  t.same(other.answers, []);
  t.equal(fake.received.length, 2);
});

t.test("questions from a container's namespace use its own sockets", async (t) => {
  const bench = new ForwarderBench(t);
  const sandbox = bench.sandbox("one", [{ ip: "127.0.0.1", port: 1, from: "container" }]);
  const asked = bench.ask(sandbox, web);
  await bench.settle();
  bench.loop.pass(FORWARD_TIME + 10);
  t.match(
    await bench.answer(asked),
    { kind: "failed", why: "timeout" },
    "there are none, and the host's are not taken",
  );
});
