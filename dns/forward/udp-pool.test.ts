import t from "tap";
import { localAddress, udpSocket } from "../../linux/socket.js";
import { TestLoop, openDescriptors } from "../../linux/testing/loop.js";
import type { Upstream } from "../protocol.js";
import { addressIn, deadUpstream, FakeUpstream, queryFor, replyTo, type TestLike } from "../testing/upstream.js";
import { UdpPool } from "./udp-pool.js";

/** A pool whose loop the test turns. */
class Bench {
  readonly loop = new TestLoop();
  made = 0;
  readonly sockets: number[] = [];
  readonly pool: UdpPool;

  /** @param supply `later`: sockets come through `add`, as in a container's namespace */
  constructor(t: TestLike, socketsAtMost: number, supply: "at once" | "later" = "at once") {
    const more = () => {
      this.made++;
      if (supply === "later") return undefined;
      this.sockets.push(udpSocket());
      return this.sockets.at(-1);
    };
    this.pool = new UdpPool(this.loop.poller, { more }, socketsAtMost);
    t.teardown(() => {
      this.pool.close();
      this.loop.poller.close();
    });
  }

  /** Outcomes come as the address in the reply or the reason of the failure. */
  ask(upstream: Upstream, name = "web.example"): { outcomes: (string | undefined)[]; cancel: () => void } {
    const { query, questionEnd } = queryFor(name);
    const outcomes: (string | undefined)[] = [];
    const exchange = this.pool.ask(upstream, query, questionEnd, (outcome) =>
      outcomes.push(outcome.kind === "reply" ? addressIn(outcome.reply) : outcome.reason),
    );
    if (outcomes.length > 0) throw new Error("an outcome came from inside ask");
    return { outcomes, cancel: () => exchange.cancel() };
  }

  /** Turns until every one of these has its outcome. */
  async settle(...asked: { outcomes: unknown[] }[]): Promise<void> {
    await this.loop.until("an outcome for each", () => asked.every(({ outcomes }) => outcomes.length > 0));
  }
}

const answering = (t: TestLike) => FakeUpstream.start(t, { onUdp: ({ query, reply }) => void reply(replyTo(query)) });
const portsOf = (fake: FakeUpstream) => fake.received.map(({ port }) => port);

t.test("questions at the same time go out from ports of their own", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t, 8);
  const asked = [1, 2, 3].map(() => bench.ask(fake.upstream));
  await bench.loop.until("three queries", () => fake.received.length === 3);
  t.equal(new Set(portsOf(fake)).size, 3);
  t.equal(bench.made, 3);
  for (const { query, reply } of fake.received) await reply(replyTo(query));
  await bench.settle(...asked);
});

t.test("a socket is used again, from another port", async (t) => {
  const fake = await answering(t);
  const bench = new Bench(t, 8);
  for (let count = 0; count < 20; count++) {
    const asked = bench.ask(fake.upstream);
    await bench.settle(asked);
    t.equal(asked.outcomes[0], "10.0.0.1");
  }
  t.equal(bench.made, 1);
  t.ok(new Set(portsOf(fake)).size > 15, "20 questions, about as many ports");
});

t.test("without a question a socket keeps nobody from a port", async (t) => {
  const fake = await answering(t);
  const dead = await deadUpstream();
  const bench = new Bench(t, 8);
  const asked = [bench.ask(fake.upstream), bench.ask(dead)];
  const cancelled = bench.ask(fake.upstream);
  cancelled.cancel();
  await bench.settle(...asked);
  t.equal(bench.made, 3);
  t.same(
    bench.sockets.map((fd) => localAddress(fd).port),
    [0, 0, 0],
  );
  await bench.settle(bench.ask(fake.upstream));
});

t.test("beyond the limit questions to one server share a socket", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t, 2);
  const asked = Array.from({ length: 6 }, (_, index) => bench.ask(fake.upstream, `n${index}.example`));
  await bench.loop.until("six queries", () => fake.received.length === 6);
  const ports = portsOf(fake);
  t.same(
    [...new Set(ports)].map((port) => ports.filter((other) => other === port).length),
    [3, 3],
    "evenly",
  );
  for (const [index, { query, reply }] of fake.received.entries())
    await reply(replyTo(query, { ip: `10.0.0.${index}` }));
  await bench.settle(...asked);
  t.equal(bench.made, 2);
  t.same(
    asked.map(({ outcomes }) => outcomes.length),
    [1, 1, 1, 1, 1, 1],
  );
});

t.test("a server that is slow leaves sockets to the others", async (t) => {
  const [slow, quick, other] = [await FakeUpstream.start(t), await answering(t), await answering(t)];
  const bench = new Bench(t, 8);
  const slowly = Array.from({ length: 100 }, (_, index) => bench.ask(slow.upstream, `n${index}.example`));
  await bench.loop.until("all are asked", () => slow.received.length === 100);
  t.equal(new Set(portsOf(slow)).size, 5, "it has half of them, and one");
  const asked = [bench.ask(quick.upstream), bench.ask(other.upstream)];
  await bench.settle(...asked);
  t.same(
    asked.map(({ outcomes }) => outcomes),
    [["10.0.0.1"], ["10.0.0.1"]],
  );
  for (const { query, reply } of slow.received) await reply(replyTo(query));
  await bench.settle(...slowly);
  const again = Array.from({ length: 5 }, (_, index) => bench.ask(quick.upstream, `n${index}.example`));
  await bench.settle(...again);
  t.equal(new Set(portsOf(quick).slice(-5)).size, 5, "what is free again may be had by another");

  const before = new Set(portsOf(slow));
  for (let index = 0; index < 100; index++) bench.ask(slow.upstream, `m${index}.example`);
  await bench.loop.until("all are asked again", () => slow.received.length === 200);
  const after = new Set(portsOf(slow).slice(100));
  t.equal(after.size, 5);
  t.ok([...after].filter((port) => before.has(port)).length < 2, "from new ports: one that is idle is not shared");
});

t.test("a question to another server waits for a socket, whether the first is answered or given up", async (t) => {
  for (const end of ["answered", "given up"]) {
    const [first, second] = [await FakeUpstream.start(t), await answering(t)];
    const bench = new Bench(t, 1);
    const asked = bench.ask(first.upstream);
    const waiting = bench.ask(second.upstream);
    await bench.loop.until("the first query", () => first.received.length === 1);
    t.equal(second.received.length, 0);
    if (end === "answered") await first.received[0]!.reply(replyTo(first.received[0]!.query));
    else asked.cancel();
    await bench.settle(waiting);
    t.same(waiting.outcomes, ["10.0.0.1"], end);
  }
});

t.test("questions wait for sockets that come later", async (t) => {
  const fake = await answering(t);
  const bench = new Bench(t, 8, "later");
  const asked = [bench.ask(fake.upstream), bench.ask(fake.upstream)];
  await bench.loop.turn();
  t.equal(fake.received.length, 0);
  t.ok(bench.made > 0, "they were asked for");
  bench.pool.add(udpSocket());
  await bench.settle(...asked);
  t.same(
    asked.map(({ outcomes }) => outcomes),
    [["10.0.0.1"], ["10.0.0.1"]],
  );
});

t.test("a question cancelled while it waits is not asked", async (t) => {
  const fake = await answering(t);
  const bench = new Bench(t, 8, "later");
  const [cancelled, kept] = [bench.ask(fake.upstream, "cancelled.example"), bench.ask(fake.upstream, "kept.example")];
  cancelled.cancel();
  bench.pool.add(udpSocket());
  await bench.settle(kept);
  t.same(fake.received.length, 1);
  t.same(cancelled.outcomes, []);
});

t.test("no more than 1024 questions wait", async (t) => {
  const fake = await answering(t);
  const bench = new Bench(t, 8, "later");
  const asked = Array.from({ length: 1025 }, () => bench.ask(fake.upstream));
  await bench.settle(asked[1024]!);
  t.match(asked[1024]?.outcomes[0], /too many/);
  t.same(asked[1023]?.outcomes, []);
  bench.pool.add(udpSocket());
  await bench.settle(...asked);
  t.same(new Set(asked.slice(0, 1024).map(({ outcomes }) => outcomes[0])), new Set(["10.0.0.1"]));
});

t.test("a server that cannot be reached fails its question only", async (t) => {
  const fake = await answering(t);
  const bench = new Bench(t, 1);
  const failed = bench.ask({ ip: "255.255.255.255", port: 53, from: "host" });
  await bench.settle(failed);
  t.match(failed.outcomes[0], /EACCES|ENETUNREACH/);
  const refused = bench.ask(await deadUpstream());
  await bench.settle(refused);
  t.same(refused.outcomes, ["ECONNREFUSED"]);
  const asked = bench.ask(fake.upstream);
  await bench.settle(asked);
  t.same(asked.outcomes, ["10.0.0.1"], "its socket serves the next");
  t.equal(bench.made, 1);
});

t.test("closing ends everything and gives back every descriptor", async (t) => {
  const fake = await FakeUpstream.start(t);
  const loop = new TestLoop();
  const before = openDescriptors();
  const pool = new UdpPool(loop.poller, { more: () => udpSocket() }, 2);
  const outcomes: string[] = [];
  const { query, questionEnd } = queryFor("web.example");
  const ask = (upstream: Upstream) =>
    pool.ask(upstream, query, questionEnd, (outcome) =>
      outcomes.push(outcome.kind === "failed" ? outcome.reason : "reply"),
    );
  const other = await deadUpstream();
  ask(fake.upstream);
  ask(fake.upstream);
  ask(other);
  ask(other).cancel();
  pool.close();
  pool.close();
  t.same(outcomes, ["closed", "closed", "closed"], "what was cancelled hears nothing");
  t.equal(loop.poller.size, 0);
  t.equal(openDescriptors(), before);
  loop.poller.close();
});
