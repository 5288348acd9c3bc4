import type { Socket } from "node:net";
import t from "tap";
import { closeDescriptor, disconnectSocket, tcpSocket } from "../../linux/socket.js";
import { TestLoop, openDescriptors } from "../../linux/testing/loop.js";
import type { Upstream } from "../protocol.js";
import { askOverTcp } from "./tcp-exchange.js";
import {
  addressIn,
  deadUpstream,
  FakeUpstream,
  framed,
  queryFor,
  replyTo,
  type Received,
  type TestLike,
} from "../testing/upstream.js";
import type { ExchangeOutcome } from "./udp-channel.js";

/** One question over TCP, and everything that comes of it. */
class Bench {
  readonly loop = new TestLoop();
  readonly outcomes: ExchangeOutcome[] = [];
  readonly givenBack: number[] = [];

  constructor(t: TestLike) {
    t.teardown(() => this.loop.poller.close());
  }

  /** @param giveBack what happens to the socket; it is closed when nothing is said */
  ask(upstream: Upstream, fd = tcpSocket(), giveBack: (fd: number) => void = closeDescriptor): { cancel: () => void } {
    const { query, questionEnd } = queryFor("web.example");
    const take = (used: number) => {
      this.givenBack.push(used);
      giveBack(used);
    };
    const exchange = askOverTcp(this.loop.poller, fd, { upstream, query, questionEnd }, take, (outcome) =>
      this.outcomes.push(outcome),
    );
    if (this.outcomes.length > 0) throw new Error("an outcome came from inside the call");
    return { cancel: () => exchange.cancel() };
  }

  async outcome(): Promise<string | undefined> {
    await this.loop.until("an outcome", () => this.outcomes.length > 0);
    const [outcome] = this.outcomes;
    return outcome?.kind === "reply" ? addressIn(outcome.reply) : outcome?.reason;
  }
}

t.test("a question is asked with its length in front, under another id", async (t) => {
  const fake = await FakeUpstream.start(t, { onTcp: ({ query, reply }) => void reply(replyTo(query)) });
  const bench = new Bench(t);
  bench.ask(fake.upstream);
  t.equal(await bench.outcome(), "10.0.0.1");
  t.same(
    fake.received.map(({ query }) => query.subarray(2)),
    [queryFor("web.example").query.subarray(2)],
  );
  t.equal(bench.givenBack.length, 1);
  t.equal(bench.loop.poller.size, 0, "nothing is watched any more");
});

t.test("a reply may come in whatever pieces", async (t) => {
  const inPieces =
    (size: number) =>
    ({ query }: Received, connection: Socket) => {
      const bytes = framed(replyTo(query));
      connection.setNoDelay(true);
      const sendFrom = (at: number) =>
        at < bytes.length && connection.write(bytes.subarray(at, at + size), () => setImmediate(sendFrom, at + size));
      sendFrom(0);
    };
  for (const size of [1, 2, 3, 20]) {
    const fake = await FakeUpstream.start(t, { onTcp: inPieces(size) });
    const bench = new Bench(t);
    bench.ask(fake.upstream);
    t.equal(await bench.outcome(), "10.0.0.1", `${size} bytes at a time`);
  }
});

t.test("a reply of the largest size is taken", async (t) => {
  const fake = await FakeUpstream.start(t, {
    onTcp: ({ query, reply }) =>
      void reply(Buffer.concat([replyTo(query), Buffer.alloc(65535 - replyTo(query).length)])),
  });
  const bench = new Bench(t);
  bench.ask(fake.upstream);
  t.equal(await bench.outcome(), "10.0.0.1");
  t.same(
    bench.outcomes.map((outcome) => outcome.kind === "reply" && outcome.reply.length),
    [65535],
  );
});

t.test("a server that says nothing useful fails the question", async (t) => {
  const otherName = replyTo(queryFor("other.example").query);
  const cases: [what: string, onTcp: (received: Received, connection: Socket) => void, reason: RegExp][] = [
    ["closes without a word", (_, connection) => connection.end(), /closed/],
    [
      "closes within its reply",
      ({ query }, connection) => connection.end(framed(replyTo(query)).subarray(0, 20)),
      /closed/,
    ],
    ["closes within the length", (_, connection) => connection.end(Buffer.from([0])), /closed/],
    ["resets", (_, connection) => connection.resetAndDestroy(), /ECONNRESET|errno 104/],
    ["answers another question", ({ reply }) => void reply(otherName), /match/],
    [
      "answers under another id",
      ({ query, reply }) => void reply(replyTo(Buffer.concat([Buffer.from([query[0]! ^ 1]), query.subarray(1)]))),
      /match/,
    ],
    ["answers with nothing", ({ reply }) => void reply(Buffer.alloc(0)), /match/],
    ["answers with a byte", ({ reply }) => void reply(Buffer.alloc(1)), /match/],
  ];
  for (const [what, onTcp, reason] of cases) {
    const fake = await FakeUpstream.start(t, { onTcp });
    const bench = new Bench(t);
    bench.ask(fake.upstream);
    t.match(await bench.outcome(), reason, what);
    t.equal(bench.givenBack.length, 1, `${what}: the socket comes back once`);
    t.equal(bench.loop.poller.size, 0);
  }
});

t.test("a whole reply counts, however its server ends the connection behind it", async (t) => {
  const ends: [what: string, end: (connection: Socket) => unknown][] = [
    ["stays", () => undefined],
    ["closes", (connection) => connection.end()],
    ["resets", (connection) => connection.resetAndDestroy()],
  ];
  for (const [what, end] of ends) {
    const fake = await FakeUpstream.start(t, {
      onTcp: ({ query, reply }, connection) => void reply(replyTo(query)).then(() => end(connection)),
    });
    const bench = new Bench(t);
    bench.ask(fake.upstream);
    await bench.loop.until("the query", () => fake.received.length === 1);
    await new Promise((resolve) => setImmediate(resolve)); // reply and end have arrived before anything is read
    t.equal(await bench.outcome(), "10.0.0.1", what);
    t.equal(bench.givenBack.length, 1);
  }
});

t.test("a server that cannot be reached fails the question", async (t) => {
  const refused = new Bench(t);
  refused.ask(await deadUpstream());
  t.match(await refused.outcome(), /ECONNREFUSED|errno 111/);
  const unreachable = new Bench(t);
  unreachable.ask({ ip: "255.255.255.255", port: 53, from: "host" });
  t.match(await unreachable.outcome(), /ENETUNREACH|EACCES/);
  t.same([refused.givenBack.length, unreachable.givenBack.length], [1, 1]);
});

t.test("a cancelled question gives its socket back and is heard of no more", async (t) => {
  const fake = await FakeUpstream.start(t);
  const early = new Bench(t);
  early.ask(fake.upstream).cancel();
  const late = new Bench(t);
  const exchange = late.ask(fake.upstream);
  await late.loop.until("the query", () => fake.received.length === 1);
  exchange.cancel();
  exchange.cancel();
  await fake.received[0]!.reply(replyTo(fake.received[0]!.query));
  await late.loop.turn();
  t.same([early.givenBack.length, late.givenBack.length], [1, 1]);
  t.same([...early.outcomes, ...late.outcomes], []);
});

t.test("a socket that came back can ask another server, also out of the middle of a question", async (t) => {
  const [silent, fake] = [
    await FakeUpstream.start(t),
    await FakeUpstream.start(t, { onTcp: ({ query, reply }) => void reply(replyTo(query)) }),
  ];
  const bench = new Bench(t);
  const fd = tcpSocket();
  t.teardown(() => closeDescriptor(fd));
  const first = bench.ask(silent.upstream, fd, disconnectSocket);
  await bench.loop.until("the first query", () => silent.received.length === 1);
  first.cancel();
  bench.ask(fake.upstream, fd, disconnectSocket);
  t.equal(await bench.outcome(), "10.0.0.1");
  t.same(bench.givenBack, [fd, fd]);
});

t.test("no descriptor is left behind", async (t) => {
  const fake = await FakeUpstream.start(t, { onTcp: ({ query, reply }) => void reply(replyTo(query)) });
  const before = openDescriptors();
  for (let count = 0; count < 5; count++) {
    const bench = new Bench({ teardown: () => undefined });
    bench.ask(fake.upstream);
    await bench.outcome();
    bench.loop.poller.close();
  }
  const loop = new TestLoop();
  await loop.until("the server's ends are closed", () => openDescriptors() <= before + 1);
  loop.poller.close();
  t.equal(openDescriptors(), before);
});
