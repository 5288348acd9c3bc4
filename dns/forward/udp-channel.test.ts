import { createSocket } from "node:dgram";
import { once } from "node:events";
import t from "tap";
import { localAddress, udpSocket } from "../../linux/socket.js";
import { TestLoop, openDescriptors } from "../../linux/testing/loop.js";
import { addressIn, deadUpstream, FakeUpstream, queryFor, replyTo, type TestLike } from "../testing/upstream.js";
import { UdpChannel, type ExchangeOutcome } from "./udp-channel.js";

/** A channel whose loop the test turns, and how often it has become idle. */
class Bench {
  readonly loop = new TestLoop();
  readonly fd = udpSocket();
  idle = 0;
  readonly channel = new UdpChannel(this.loop.poller, this.fd, () => this.idle++);

  constructor(t: TestLike) {
    t.teardown(() => {
      this.channel.close();
      this.loop.poller.close();
    });
  }

  /** Asks; the outcome is there once it has come. */
  ask(name: string): { outcomes: ExchangeOutcome[]; cancel: () => void } {
    const { query, questionEnd } = queryFor(name);
    const outcomes: ExchangeOutcome[] = [];
    const exchange = this.channel.ask(query, questionEnd, (outcome) => outcomes.push(outcome));
    if (outcomes.length > 0) throw new Error("an outcome came from inside ask");
    return { outcomes, cancel: () => exchange.cancel() };
  }
}

const addressOf = (outcome: ExchangeOutcome | undefined) =>
  outcome?.kind === "reply" ? addressIn(outcome.reply) : outcome?.reason;

t.test("a question is asked under an id of its own, and its reply taken", async (t) => {
  const fake = await FakeUpstream.start(t, { onUdp: (received) => void received.reply(replyTo(received.query)) });
  const bench = new Bench(t);
  bench.channel.connect(fake.upstream);
  const asked = bench.ask("web.example");
  t.equal(bench.channel.busy, 1);
  await bench.loop.until("a reply", () => asked.outcomes.length > 0);
  t.equal(addressOf(asked.outcomes[0]), "10.0.0.1");
  t.equal(bench.channel.busy, 0);
  t.equal(bench.idle, 1);
  const { query } = queryFor("web.example");
  t.same(fake.received[0]?.query.subarray(2), query.subarray(2), "but for the id the query goes out as it came");
});

t.test("ids cannot be foretold from one another", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t);
  bench.channel.connect(fake.upstream);
  for (let count = 0; count < 64; count++) bench.ask("web.example");
  await bench.loop.until("64 queries", () => fake.received.length === 64);
  const ids = fake.received.map(({ query }) => query.readUInt16BE(0));
  t.equal(new Set(ids).size, 64, "no two questions under way share one");
  const steps = new Set(ids.slice(1).map((id, index) => (id - ids[index]! + 65536) % 65536));
  t.ok(steps.size > 32, "and they do not count up");
});

t.test("replies in any order find their questions", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t);
  bench.channel.connect(fake.upstream);
  const asked = ["a.example", "b.example", "c.example"].map((name) => bench.ask(name));
  await bench.loop.until("three queries", () => fake.received.length === 3);
  for (const index of [2, 0, 1])
    await fake.received[index]!.reply(replyTo(fake.received[index]!.query, { ip: `10.0.0.${index}` }));
  await bench.loop.until("three replies", () => asked.every(({ outcomes }) => outcomes.length === 1));
  t.same(
    asked.map(({ outcomes }) => addressOf(outcomes[0])),
    ["10.0.0.0", "10.0.0.1", "10.0.0.2"],
  );
});

t.test("what does not answer the question is passed over and counted", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t);
  bench.channel.connect(fake.upstream);
  const asked = bench.ask("web.example");
  await bench.loop.until("the query", () => fake.received.length === 1);
  const [{ query, reply }] = fake.received as [(typeof fake.received)[number]];
  const changed = (at: number) => {
    const forged = replyTo(query, { ip: "6.6.6.6" });
    forged[at] = forged[at]! ^ 1;
    return forged;
  };
  const forgeries = [
    changed(0),
    changed(1),
    changed(13),
    changed(query.length - 3),
    changed(query.length - 1),
    query,
    query.subarray(0, 11),
    Buffer.alloc(1),
    Buffer.alloc(0),
  ];
  for (const forged of forgeries) await reply(forged);
  await reply(replyTo(query));
  await bench.loop.until("a reply", () => asked.outcomes.length > 0);
  t.equal(addressOf(asked.outcomes[0]), "10.0.0.1");
  t.equal(bench.channel.unexpected, forgeries.length);
});

t.test("nobody but the server is listened to", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t);
  bench.channel.connect(fake.upstream);
  const asked = bench.ask("web.example");
  await bench.loop.until("the query", () => fake.received.length === 1);
  const { query, port, reply } = fake.received[0]!;
  const forger = createSocket("udp4");
  t.teardown(() => forger.close());
  // Refused at once by the kernel: no connected socket has this sender for a peer.
  await new Promise((resolve) => forger.send(replyTo(query, { ip: "6.6.6.6" }), port, "127.0.0.1", resolve));
  await reply(replyTo(query));
  await bench.loop.until("a reply", () => asked.outcomes.length > 0);
  t.equal(addressOf(asked.outcomes[0]), "10.0.0.1");
  t.equal(bench.channel.unexpected, 0);
});

t.test("a server that refuses is known at once, by everyone who waits for it", async (t) => {
  const bench = new Bench(t);
  bench.channel.connect(await deadUpstream());
  const asked = bench.ask("a.example");
  await bench.loop.until("a failure", () => asked.outcomes.length > 0);
  t.same(asked.outcomes, [{ kind: "failed", reason: "ECONNREFUSED" }]);
  t.equal(bench.channel.busy, 0);
});

t.test("a reply counts that came before its server was gone, and whoever asks next is not told of it", async (t) => {
  const server = createSocket("udp4").bind(0, "127.0.0.1");
  server.on("message", (query, { port }) => server.send(replyTo(query), port, "127.0.0.1", () => server.close()));
  await once(server, "listening");
  const next = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => void reply(replyTo(query, { ip: "10.0.0.2" })),
  });
  let asked: ExchangeOutcome[] = [];
  const loop = new TestLoop();
  const channel: UdpChannel = new UdpChannel(loop.poller, udpSocket(), () => {
    if (asked.length > 0) return;
    channel.connect(next.upstream);
    const { query, questionEnd } = queryFor("later.example");
    channel.ask(query, questionEnd, (outcome) => asked.push(outcome));
  });
  t.teardown(() => {
    asked = [{ kind: "failed", reason: "over" }];
    channel.close();
    loop.poller.close();
  });
  channel.connect({ ip: "127.0.0.1", port: server.address().port });
  const outcomes: Record<string, ExchangeOutcome> = {};
  const ask = (name: string) => {
    const { query, questionEnd } = queryFor(name);
    channel.ask(query, questionEnd, (outcome) => (outcomes[name] = outcome));
  };
  ask("first.example");
  await once(server, "close"); // nothing is read meanwhile
  ask("second.example");
  await loop.until("an answer to the question that came last", () => asked.length > 0);
  t.same(
    Object.entries(outcomes).map(([name, outcome]) => [name, addressOf(outcome)]),
    [
      ["first.example", "10.0.0.1"],
      ["second.example", "ECONNREFUSED"],
    ],
  );
  t.same(asked.map(addressOf), ["10.0.0.2"]);
});

t.test("a query that cannot be sent fails, but not from inside the call", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t);
  bench.channel.connect(fake.upstream);
  const outcomes: ExchangeOutcome[] = [];
  bench.channel.ask(Buffer.alloc(70_000), 12, (outcome) => outcomes.push(outcome));
  t.same(outcomes, []);
  await bench.loop.until("a failure", () => outcomes.length > 0);
  t.same(outcomes, [{ kind: "failed", reason: "EMSGSIZE" }]);
});

t.test("a socket that is used again gets a port of its own each time", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t);
  const ports = new Set<number>();
  for (let count = 0; count < 20; count++) {
    bench.channel.connect(fake.upstream);
    ports.add(localAddress(bench.fd).port);
  }
  t.ok(ports.size > 15, `20 times connected, ${ports.size} ports`);
});

t.test("a late reply on a socket used again is dropped", async (t) => {
  const [first, second] = [await FakeUpstream.start(t), await FakeUpstream.start(t)];
  const bench = new Bench(t);
  bench.channel.connect(first.upstream);
  const given = bench.ask("old.example");
  await bench.loop.until("the first query", () => first.received.length === 1);
  given.cancel();
  // On the socket's queue, and not read, before it belongs to the next question.
  await first.received[0]!.reply(replyTo(first.received[0]!.query, { ip: "6.6.6.6" }));
  bench.channel.connect(second.upstream);
  const asked = bench.ask("new.example");
  await bench.loop.until("the second query", () => second.received.length === 1);
  await second.received[0]!.reply(replyTo(second.received[0]!.query));
  await bench.loop.until("a reply", () => asked.outcomes.length > 0);
  t.equal(addressOf(asked.outcomes[0]), "10.0.0.1");
  t.same(given.outcomes, []);
  t.equal(bench.channel.unexpected, 1);
});

t.test("an error meant for an earlier question is not the next one's", async (t) => {
  const fake = await FakeUpstream.start(t, { onUdp: (received) => void received.reply(replyTo(received.query)) });
  const bench = new Bench(t);
  bench.channel.connect(await deadUpstream());
  // The refusal is pending on the socket, unread, when the socket goes on to a server that lives.
  bench.ask("old.example").cancel();
  bench.channel.connect(fake.upstream);
  const asked = bench.ask("new.example");
  await bench.loop.until("an outcome", () => asked.outcomes.length > 0);
  t.equal(addressOf(asked.outcomes[0]), "10.0.0.1");
});

t.test("a cancelled question is forgotten, once", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t);
  bench.channel.connect(fake.upstream);
  const [cancelled, other] = [bench.ask("a.example"), bench.ask("b.example")];
  await bench.loop.until("two queries", () => fake.received.length === 2);
  cancelled.cancel();
  cancelled.cancel();
  t.equal(bench.channel.busy, 1);
  t.equal(bench.idle, 0);
  for (const { query, reply } of fake.received) await reply(replyTo(query));
  await bench.loop.until("the other's reply", () => other.outcomes.length > 0);
  t.same(cancelled.outcomes, []);
  other.cancel();
  t.equal(bench.idle, 1);
});

t.test("cancelling what has ended does not reach whoever has its id now", async (t) => {
  const bench = new Bench(t);
  const silent = createSocket("udp4");
  await new Promise<void>((resolve) => silent.bind(0, "127.0.0.1", resolve));
  t.teardown(() => silent.close());
  bench.channel.connect({ ip: "127.0.0.1", port: silent.address().port });
  const ended = bench.ask("a.example");
  ended.cancel();
  // Only with every id under way is it certain that one of them is the first one's.
  const { query, questionEnd } = queryFor("b.example");
  for (let count = 0; count < 65536; count++) bench.channel.ask(query, questionEnd, () => undefined);
  t.equal(bench.channel.busy, 65536);
  ended.cancel();
  t.equal(bench.channel.busy, 65536);
});

t.test("closing ends what is under way, and gives back every descriptor", async (t) => {
  const fake = await FakeUpstream.start(t);
  const before = openDescriptors();
  const loop = new TestLoop();
  const channel = new UdpChannel(loop.poller, udpSocket());
  channel.connect(fake.upstream);
  const outcomes: ExchangeOutcome[] = [];
  const { query, questionEnd } = queryFor("web.example");
  channel.ask(query, questionEnd, (outcome) => outcomes.push(outcome));
  channel.close();
  t.same(outcomes, [{ kind: "failed", reason: "closed", unasked: true }]);
  t.equal(loop.poller.size, 0);
  loop.poller.close();
  t.equal(openDescriptors(), before);
});
