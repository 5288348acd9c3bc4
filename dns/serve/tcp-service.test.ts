import dnsPacket from "dns-packet";
import t from "tap";
import { IDLE_TIME, MessageShare, UNDER_WAY_AT_MOST, UnsentReplies } from "./tcp-limits.js";
import { ask, ServiceBench, type StreamClient } from "../testing/service.js";
import { knowing, packed } from "../testing/forwarder.js";
import { FakeUpstream, framed, queryFor } from "../testing/upstream.js";
import { TestLoop } from "../../linux/testing/loop.js";

const range = (count: number) => Array.from({ length: count }, (_, index) => index);
const rcodeOf = (reply: Buffer | undefined) => reply && reply[3]! & 15;

t.test("a thousand queries in one piece are each answered once", async (t) => {
  const bench = new ServiceBench(t);
  const client = await bench.connect(bench.serve("one"));
  client.ask(...range(1000).map((id) => ask(id)));
  await bench.until("every reply", () => client.replies.length >= 1000);
  t.same(client.ids, range(1000));
  t.ok(client.replies.every((reply) => rcodeOf(reply) === 0 && reply.readUInt16BE(6) === 1));
  t.notOk(client.closed);
  t.equal(bench.tcp.unsent, 0);
});

t.test("a query may come byte by byte", async (t) => {
  const bench = new ServiceBench(t);
  const client = await bench.connect(bench.serve("one"));
  for (const byte of framed(ask(7))) {
    client.socket.write(Buffer.from([byte]));
    await bench.forwarder.settle();
  }
  await bench.until("the reply", () => client.replies.length > 0);
  t.same(client.ids, [7]);
});

t.test("replies come as they are ready", async (t) => {
  const received: (() => void)[] = [];
  const fake = await FakeUpstream.start(t, {
    onTcp: ({ query, reply }) => received.push(() => void reply(packed(query, { a: ["10.0.0.1"] }))),
  });
  const bench = new ServiceBench(t);
  const client = await bench.connect(bench.serve("one", [fake.upstream]));
  client.ask(ask(1, "slow.example"), ask(2));
  await bench.until("the second reply", () => client.replies.length > 0);
  t.same(client.ids, [2]);
  await bench.until("the upstream is asked", () => received.length > 0);
  received[0]!();
  await bench.until("the first reply", () => client.replies.length > 1);
  t.same(client.ids, [2, 1]);
});

t.test("a client that has said all it wants to is answered before the end", async (t) => {
  const fake = await knowing(t, { "out.example": { a: ["10.0.0.1"] } });
  const bench = new ServiceBench(t);
  const client = await bench.connect(bench.serve("one", [fake.upstream]));
  client.socket.end(Buffer.concat([framed(ask(1, "out.example")), framed(ask(2)), Buffer.from([0, 40, 1])]));
  await bench.until("the end", () => client.closed);
  t.same(client.ids.sort(), [1, 2]);
  await bench.until("the connection is gone", () => bench.tcp.connections === 0);
});

t.test("what is not a query ends the connection, after the replies to what came before", async (t) => {
  const fake = await knowing(t, { "out.example": { a: ["10.0.0.1"] } });
  const bench = new ServiceBench(t);
  const sandbox = bench.serve("one", [fake.upstream]);
  const reply = Buffer.from(ask(9));
  reply[2]! |= 0x80;
  const malformed = Buffer.concat([ask(3).subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
  const cases: [what: string, bytes: Buffer, ids: number[]][] = [
    ["a length of 0", Buffer.from([0, 0]), [1, 2]],
    ["a length below a header's", Buffer.from([0, 1, 0]), [1, 2]],
    ["a length above the limit", Buffer.from([0x10, 0x01, 0, 0]), [1, 2]],
    ["the largest length", Buffer.alloc(2, 0xff), [1, 2]],
    ["a reply", framed(reply), [1, 2]],
    ["a query that is malformed", framed(malformed), [1, 2, 3]],
  ];
  for (const [what, bytes, ids] of cases) {
    const client = await bench.connect(sandbox);
    client.socket.write(Buffer.concat([framed(ask(1, "out.example")), framed(ask(2)), bytes, framed(ask(4))]));
    await bench.until(`the end after ${what}`, () => client.closed);
    t.same(client.ids.sort(), ids, what);
  }
  await bench.until("every connection is gone", () => bench.tcp.connections === 0);
  t.equal(sandbox.connections.size, 0);
});

t.test("an opcode that is not served, or a class that nobody is there for, leaves the connection open", async (t) => {
  const bench = new ServiceBench(t);
  const client = await bench.connect(bench.serve("one"));
  const notify = ask(1);
  notify[2]! |= 4 << 3;
  const chaos = ask(2);
  chaos[chaos.length - 1] = 3;
  client.ask(notify, chaos, ask(3));
  await bench.until("the replies", () => client.replies.length === 3);
  t.same(client.replies.map(rcodeOf), [4, 2, 0]);
});

t.test("single bytes do not keep a connection open", async (t) => {
  const bench = new ServiceBench(t);
  const sandbox = bench.serve("one");
  const [slow, other] = [await bench.connect(sandbox), await bench.connect(sandbox)];
  other.ask(ask(1));
  const query = framed(ask(2));
  for (let second = 0; second <= IDLE_TIME / 1000 && !slow.closed; second++) {
    slow.socket.write(query.subarray(second, second + 1));
    other.ask(ask(3));
    await bench.forwarder.settle();
    bench.forwarder.loop.pass(1000);
  }
  await bench.until("the slow one is closed", () => slow.closed);
  t.notOk(other.closed, "one that asks stays");
  bench.forwarder.loop.pass(IDLE_TIME + 8);
  await bench.until("the idle one is closed", () => other.closed);
  t.equal(bench.tcp.connections, 0);
});

t.test("a question under way keeps its connection", async (t) => {
  const fake = await knowing(t, { "out.example": { silent: true } });
  const bench = new ServiceBench(t);
  const client = await bench.connect(bench.serve("one", [fake.upstream]));
  bench.forwarder.loop.pass(IDLE_TIME - 1000);
  client.ask(ask(1, "out.example"));
  await bench.forwarder.asked(fake);
  bench.forwarder.loop.pass(2000);
  await bench.forwarder.settle();
  t.notOk(client.closed);
});

t.test("of a client that does not read nothing more is read, and it is closed when its time is up", async (t) => {
  const bench = new ServiceBench(t);
  const sandbox = bench.serve("one");
  const client = await bench.connect(sandbox);
  const other = await bench.connect(sandbox);
  client.socket.pause();
  client.ask(...range(3000).map((id) => ask(id, "wide")));
  await bench.until("its replies wait", () => bench.tcp.unsent > 0);
  await bench.until(
    "reading has stopped",
    stalled(() => sandbox.counters.queries),
  );
  t.ok(sandbox.counters.queries < 3000, `${sandbox.counters.queries} of 3000 queries are read`);
  t.ok(bench.tcp.unsent < 2 * 64 * 1024, `${bench.tcp.unsent} bytes are held`);
  other.ask(ask(1));
  await bench.until("another is answered", () => other.replies.length > 0);
  bench.forwarder.loop.pass(IDLE_TIME + 8);
  await bench.until("all are closed", () => bench.tcp.connections === 0);
  t.equal(bench.tcp.unsent, 0);
});

t.test("a client that reads late gets everything", async (t) => {
  const bench = new ServiceBench(t);
  const sandbox = bench.serve("one");
  const client = await bench.connect(sandbox);
  client.socket.pause();
  client.ask(...range(1000).map((id) => ask(id, "wide")));
  await bench.until("its replies wait", () => bench.tcp.unsent > 0);
  await bench.until(
    "reading has stopped",
    stalled(() => sandbox.counters.queries),
  );
  client.socket.resume();
  await bench.until("every reply", () => client.replies.length === 1000);
  t.same(client.ids, range(1000));
});

t.test("of large replies that all come no more is held either", async (t) => {
  const large = Buffer.alloc(60_000);
  const received: FakeUpstreamReplies = [];
  const fake = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => void reply(truncated(query)),
    onTcp: ({ query, reply }) => received.push(() => reply(withRecord(query, large))),
  });
  const bench = new ServiceBench(t);
  const client = await bench.connect(bench.serve("one", [fake.upstream]));
  client.socket.pause();
  client.ask(...range(UNDER_WAY_AT_MOST).map((id) => ask(id, `name${id}.example`)));
  let most = 0;
  await bench.until("the client is cut off", () => {
    most = Math.max(most, bench.tcp.unsent);
    void received.shift()?.();
    return bench.tcp.connections === 0;
  });
  t.ok(most > 64 * 1024 && most <= 512 * 1024 + 65_537, `at most ${most} bytes are held`);
  t.equal(bench.tcp.unsent, 0);
});

t.test("what a client that does not read may leave shrinks with what all have left", (t) => {
  const unsent = new UnsentReplies();
  t.equal(unsent.limit, 512 * 1024);
  unsent.total = 28 * 1024 * 1024;
  t.equal(unsent.limit, 256 * 1024);
  unsent.total = 64 * 1024 * 1024;
  t.equal(unsent.limit, 65_538, "one whole reply always");
  t.end();
});

t.test("a reset, at any point, leaves nothing behind", async (t) => {
  const fake = await knowing(t, { "out.example": { silent: true } });
  const bench = new ServiceBench(t);
  const sandbox = bench.serve("one", [fake.upstream]);
  const queries = [
    Buffer.alloc(0),
    framed(ask(1)).subarray(0, 9),
    framed(ask(1, "out.example")),
    Buffer.concat(range(500).map((id) => framed(ask(id, "wide")))),
  ];
  for (const bytes of queries) {
    const client = await bench.connect(sandbox);
    client.socket.pause();
    client.socket.write(bytes);
    await bench.forwarder.settle();
    client.socket.resetAndDestroy();
  }
  await bench.until("every connection is gone", () => bench.tcp.connections === 0);
  t.equal(sandbox.connections.size, 0);
  t.equal(bench.tcp.unsent, 0);
});

t.test("beyond the limit of a sandbox the connection idle for longest goes", async (t) => {
  const bench = new ServiceBench(t, { ofSandbox: 3, inAll: 100 });
  const [sandbox, other] = [bench.serve("one"), bench.serve("two")];
  const [first, second, third] = [
    await bench.connect(sandbox),
    await bench.connect(sandbox),
    await bench.connect(sandbox),
  ];
  const neighbour = await bench.connect(other);
  first.ask(ask(1));
  await bench.until("the first has been used", () => first.replies.length > 0);
  const fourth = await bench.connect(sandbox);
  await bench.until("the second is closed", () => second.closed);
  fourth.ask(ask(2));
  await bench.until("the fourth is answered", () => fourth.replies.length > 0);
  t.same([first.closed, third.closed, neighbour.closed], [false, false, false]);
  t.equal(sandbox.connections.size, 3);
});

t.test("connections with questions under way stay, and the newcomer is refused", async (t) => {
  const fake = await knowing(t, { "a.example": { silent: true }, "b.example": { silent: true } });
  const bench = new ServiceBench(t, { ofSandbox: 2, inAll: 100 });
  const sandbox = bench.serve("one", [fake.upstream]);
  const busy = [await bench.connect(sandbox), await bench.connect(sandbox)];
  for (const [index, client] of busy.entries()) client.ask(ask(1, `${"ab"[index]}.example`));
  await bench.forwarder.asked(fake, 2);
  const late = await bench.connect(sandbox);
  await bench.until("the newcomer is closed", () => late.closed);
  t.same(
    busy.map(({ closed }) => closed),
    [false, false],
  );
  t.equal(sandbox.counters.refused, 1);
});

t.test("beyond the limit of all, the sandbox with most connections gives one up", async (t) => {
  const bench = new ServiceBench(t, { ofSandbox: 100, inAll: 4 });
  const [crowd, quiet] = [bench.serve("crowd"), bench.serve("quiet")];
  const held: StreamClient[] = [];
  for (let count = 0; count < 4; count++) held.push(await bench.connect(crowd));
  const [one, two] = [await bench.connect(quiet), await bench.connect(quiet)];
  await bench.until("two are closed", () => held.filter(({ closed }) => closed).length === 2);
  t.same(
    held.map(({ closed }) => closed),
    [true, true, false, false],
  );
  for (const client of [one, two]) client.ask(ask(1));
  await bench.until("the quiet one is answered", () => one.replies.length + two.replies.length === 2);
  t.equal(bench.tcp.connections, 4);
});

t.test("one sandbox that sends without end takes no more than its share of a round", async (t) => {
  const bench = new ServiceBench(t);
  const [loud, quiet] = [bench.serve("loud"), bench.serve("quiet")];
  const louds = await Promise.all(range(8).map(() => bench.connect(loud)));
  const client = await bench.connect(quiet);
  for (const each of louds) {
    await new Promise((resolve) => each.socket.write(Buffer.concat(range(400).map((id) => framed(ask(id)))), resolve));
  }
  await new Promise((resolve) => client.socket.write(framed(ask(1)), resolve));
  const { poller } = bench.forwarder.loop;
  for (let rounds = 0; quiet.counters.queries === 0 || loud.counters.queries < 3200; rounds++) {
    const before = loud.counters.queries;
    poller.dispatch(0);
    t.ok(loud.counters.queries - before <= 64, `${loud.counters.queries - before} in one round`);
    if (rounds > 1000) throw new Error("they are not all read");
  }
  await bench.until(
    "everybody is answered",
    () => client.replies.length === 1 && louds.every(({ replies }) => replies.length === 400),
  );
});

t.test("a share is renewed each round", async (t) => {
  const loop = new TestLoop();
  t.teardown(() => loop.poller.close());
  const share = new MessageShare(loop.poller);
  let later = 0;
  while (share.take(() => later++));
  t.equal(later, 0);
  await loop.turn();
  t.equal(later, 1, "whoever has to wait is called");
  t.ok(share.take(() => t.fail("there is some left")));
});

type FakeUpstreamReplies = (() => Promise<void>)[];

function truncated(query: Buffer): Buffer {
  const { questionEnd } = queryFor(dnsPacket.decode(query).questions![0]!.name);
  const reply = Buffer.from(query.subarray(0, questionEnd));
  reply.writeUInt16BE(0x8380, 2);
  reply.writeUInt16BE(0, 10);
  return reply;
}

function withRecord(query: Buffer, data: Buffer): Buffer {
  const { questionEnd } = queryFor(dnsPacket.decode(query).questions![0]!.name);
  const header = Buffer.from([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, data.length >> 8, data.length & 255]);
  const reply = Buffer.concat([query.subarray(0, questionEnd), header, data]);
  reply.writeUInt16BE(0x8180, 2);
  reply.writeUInt16BE(1, 6);
  reply.writeUInt16BE(0, 10);
  return reply;
}

/** Holds once a figure has not changed for many rounds. */
function stalled(figure: () => number): () => boolean {
  let [last, rounds] = [figure(), 0];
  return () => {
    rounds = figure() === last ? rounds + 1 : 0;
    last = figure();
    return rounds > 50;
  };
}
