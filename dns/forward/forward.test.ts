import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import t from "tap";
import { TestLoop, openDescriptors } from "../../linux/testing/loop.js";
import { Forward, FORWARD_TIME, type ForwardOutcome } from "./forward.js";
import { keyOfText, likelyZoneOf } from "../wire/name.js";
import { HostSockets, type ForwardingSockets } from "./forwarding-sockets.js";
import type { Upstream } from "../protocol.js";
import { RCODE, TYPE } from "../wire/query.js";
import { buildQuery } from "../wire/stored-reply.js";
import {
  addressIn,
  deadUpstream,
  FakeUpstream,
  queryFor,
  replyTo,
  type FakeUpstreamOptions,
  type Received,
  type ReplyShape,
  type TestLike,
} from "../testing/upstream.js";
import { UdpPool } from "./udp-pool.js";
import { UpstreamHealth } from "./upstreams.js";

/** Questions forwarded from this host, in time the test lets pass. */
class Bench {
  readonly loop = new TestLoop();
  readonly health = new UpstreamHealth(() => this.loop.now);
  readonly hostSockets = new HostSockets(this.loop.poller, "ipv4");
  readonly sockets = this.hostSockets.shareOf(this);

  constructor(t: TestLike) {
    t.teardown(() => this.close());
  }

  close(): void {
    this.hostSockets.close();
    this.loop.poller.close();
  }

  forward(
    upstreams: readonly Upstream[],
    { sockets = this.sockets, within, name = "web.example", edns, clientSize = 512, overTcp = false }: Given = {},
  ): Forwarded {
    const { query, questionEnd } = edns
      ? buildQuery({ key: keyOfText(name)!, type: TYPE.A, class: 1, flags: 0x0100, dnssecOk: false, clientSubnet: "" })
      : queryFor(name);
    const outcomes: ForwardOutcome[] = [];
    const ends = { quiet: 0 };
    const request = {
      query,
      questionEnd,
      upstreams,
      within,
      socketsFor: () => sockets,
      zone: likelyZoneOf(keyOfText(name)!),
      dnssecOk: false,
      clientSize,
      overTcp,
    };
    const forward = new Forward(
      { poller: this.loop.poller, timers: this.loop.timers, health: this.health },
      request,
      (outcome) => outcomes.push(outcome),
      () => ends.quiet++,
    );
    if (outcomes.length > 0) throw new Error("an outcome came from inside the constructor");
    return { outcomes, ends, cancel: () => forward.cancel(), again: () => forward.again() };
  }

  /** Leaves questions for several zones unanswered, so that the server counts as down. */
  bringDown(upstream: Upstream): void {
    for (const zone of ["one.test", "two.test", "three.test"]) this.health.timedOut(upstream, keyOfText(zone)!);
  }

  isDown(upstream: Upstream): boolean {
    return this.health.report().find((report) => report.upstream.port === upstream.port)?.down === true;
  }

  async outcome({ outcomes }: Forwarded): Promise<ForwardOutcome> {
    await this.loop.until("an outcome", () => outcomes.length > 0);
    return outcomes[0]!;
  }

  async asked(fake: FakeUpstream, times = 1): Promise<void> {
    await this.loop.until(`query ${times}`, () => fake.received.length >= times);
  }
}

interface Given {
  readonly sockets?: ForwardingSockets;
  readonly within?: number;
  readonly name?: string;
  /** As our own queries are; plain without it. */
  readonly edns?: boolean;
  readonly clientSize?: number;
  readonly overTcp?: boolean;
}

interface Forwarded {
  readonly outcomes: ForwardOutcome[];
  readonly ends: { quiet: number };
  cancel(): void;
  again(): void;
}

/** An upstream that gives the same reply to everything; `undefined`: none. */
function upstream(t: TestLike, udp?: ReplyShape, tcp?: ReplyShape): Promise<FakeUpstream> {
  return FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => void (udp && reply(replyTo(query, udp))),
    onTcp: ({ query, reply }) => void (tcp && reply(replyTo(query, tcp))),
  });
}

const addressOf = (outcome: ForwardOutcome) =>
  outcome.kind === "reply" ? addressIn(Buffer.from(outcome.stored.bytes, "latin1")) : outcome.reason;
const rcodeIn = (outcome: ForwardOutcome) => (outcome.kind === "reply" ? outcome.stored.rcode : outcome.reason);

t.test("the first upstream is asked alone while it answers", async (t) => {
  const [first, second] = [await upstream(t, { ip: "10.0.0.1" }), await upstream(t, { ip: "10.0.0.2" })];
  const bench = new Bench(t);
  const outcome = await bench.outcome(bench.forward([first.upstream, second.upstream]));
  t.equal(addressOf(outcome), "10.0.0.1");
  t.match(outcome, { source: { kind: "upstream", upstream: first.upstream, transport: "udp" } });
  t.equal(second.received.length, 0);
  t.match(bench.health.report(), {
    length: 2,
    0: { asked: 1, answered: 1, timeouts: 0, failures: 0 },
    1: { asked: 0, answered: 0, timeouts: 0, failures: 0 },
  });
});

t.test("what an upstream says of the name is final", async (t) => {
  for (const [word, rcode] of [
    ["NXDOMAIN", RCODE.NXDOMAIN],
    ["NOTIMP", RCODE.NOTIMP],
    ["FORMERR", RCODE.FORMERR],
  ] as const) {
    const [first, second] = [await upstream(t, { rcode }), await upstream(t, {})];
    const bench = new Bench(t);
    t.equal(rcodeIn(await bench.outcome(bench.forward([first.upstream, second.upstream]))), rcode, word);
    t.equal(second.received.length, 0);
  }
});

t.test("SERVFAIL and REFUSED send the question on, at once", async (t) => {
  for (const rcode of [RCODE.SERVFAIL, RCODE.REFUSED]) {
    const [first, second] = [await upstream(t, { rcode }), await upstream(t, { ip: "10.0.0.2" })];
    const bench = new Bench(t);
    t.equal(
      addressOf(await bench.outcome(bench.forward([first.upstream, second.upstream]))),
      "10.0.0.2",
      `rcode ${rcode}`,
    );
  }
});

t.test("a reply that cannot be kept sends the question on, at once", async (t) => {
  const torn = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => {
      const wrong = Buffer.concat([replyTo(query), Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])]);
      wrong.writeUInt16BE(2, 6); // an OPT record among the answers
      void reply(wrong);
    },
  });
  const second = await upstream(t, { ip: "10.0.0.2" });
  const bench = new Bench(t);
  t.equal(addressOf(await bench.outcome(bench.forward([torn.upstream, second.upstream]))), "10.0.0.2");
  t.match(await bench.outcome(bench.forward([torn.upstream])), { kind: "failed", why: "network", reason: /malformed/ });
});

t.test("a refused datagram sends the question on, at once", async (t) => {
  const second = await upstream(t, { ip: "10.0.0.2" });
  const bench = new Bench(t);
  t.equal(addressOf(await bench.outcome(bench.forward([await deadUpstream(), second.upstream]))), "10.0.0.2");
  t.match(bench.health.report(), { length: 2, 0: { asked: 1, failures: 1 }, 1: { asked: 1, answered: 1 } });
});

t.test("when every upstream refuses, the refusal is the reason", async (t) => {
  const [first, second] = [await upstream(t, { rcode: RCODE.SERVFAIL }), await upstream(t, { rcode: RCODE.REFUSED })];
  const bench = new Bench(t);
  t.same(await bench.outcome(bench.forward([first.upstream])), {
    kind: "failed",
    why: "failed",
    reason: "127.0.0.1 says SERVFAIL",
  });
  t.same(await bench.outcome(bench.forward([second.upstream])), {
    kind: "failed",
    why: "refused",
    reason: "127.0.0.1 says REFUSED",
  });
  t.same(
    await bench.outcome(bench.forward([first.upstream, second.upstream])),
    { kind: "failed", why: "failed", reason: "127.0.0.1 says SERVFAIL" },
    "REFUSED only when all say so",
  );
  t.match(
    bench.health.report(),
    { length: 2, 0: { asked: 2, answered: 2, down: false }, 1: { asked: 2, answered: 2, down: false } },
    "whoever refuses is there",
  );
});

t.test("when none can be asked, the reason is told", async (t) => {
  const bench = new Bench(t);
  t.same(await bench.outcome(bench.forward([])), { kind: "failed", why: "no-upstream", reason: "no upstream servers" });
  const dead = await deadUpstream();
  t.same(await bench.outcome(bench.forward([dead])), {
    kind: "failed",
    why: "network",
    reason: "127.0.0.1: ECONNREFUSED",
  });
});

/** Milliseconds until the next is asked early, and until the first is not waited for any more. */
const early = 1000;
const patience = 2000;

t.test("a quick answer of a later server waits for a slower one in front, whatever it says", async (t) => {
  for (const shape of [{ rcode: RCODE.NXDOMAIN }, { ip: "10.0.0.2" }, {}]) {
    const [first, second] = [await upstream(t), await upstream(t, shape)];
    const bench = new Bench(t);
    const asked = bench.forward([first.upstream, second.upstream]);
    await bench.asked(first);
    bench.loop.pass(400);
    for (let count = 0; count < 5; count++) await bench.loop.turn();
    t.equal(second.received.length, 0, "a server that takes 400 ms keeps its names to itself");
    bench.loop.pass(early - 390);
    await bench.asked(second);
    for (let count = 0; count < 20; count++) await bench.loop.turn();
    t.same(asked.outcomes, [], "it is there, and waits");
    await first.received[0]!.reply(replyTo(first.received[0]!.query, { ip: "10.0.0.1" }));
    t.equal(addressOf(await bench.outcome(asked)), "10.0.0.1");
    t.match(bench.health.report(), { length: 2, 0: { timeouts: 0, down: false }, 1: { timeouts: 0 } });
  }
});

t.test("the answer that is there by then is given when the patience is over", async (t) => {
  const [first, second] = [await upstream(t), await upstream(t, { ip: "10.0.0.2" })];
  const bench = new Bench(t);
  const asked = bench.forward([first.upstream, second.upstream]);
  await bench.asked(first);
  bench.loop.pass(early + 10);
  await bench.asked(second);
  await bench.loop.until("the second's answer is read", () => bench.health.report()[1]?.answered === 1);
  bench.loop.pass(patience - early - 20);
  t.same(asked.outcomes, []);
  bench.loop.pass(20);
  const outcome = await bench.outcome(asked);
  t.equal(addressOf(outcome), "10.0.0.2");
  t.match(outcome, { stored: { lifetime: 5, isProvisional: true } }, "kept for seconds: the first may be back");
  t.equal(asked.ends.quiet, 0);
  await first.received[0]!.reply(replyTo(first.received[0]!.query));
  await bench.loop.until("the late answer is heard", () => asked.ends.quiet === 1);
  t.match(bench.health.report()[0], { answered: 1, timeouts: 0, down: false }, "slow is not down");
  t.equal(asked.outcomes.length, 1);
});

t.test("the patience is as configured", async (t) => {
  const [first, second] = [await upstream(t), await upstream(t, { ip: "10.0.0.2" })];
  const bench = new Bench(t);
  bench.health.patience = 300;
  const asked = bench.forward([first.upstream, second.upstream]);
  await bench.asked(first);
  bench.loop.pass(160);
  await bench.asked(second);
  bench.loop.pass(150);
  t.equal(addressOf(await bench.outcome(asked)), "10.0.0.2");
});

t.test("a refusal hands the question on for good, a failure for seconds", async (t) => {
  for (const [rcode, lifetime] of [
    [RCODE.REFUSED, 60],
    [RCODE.SERVFAIL, 5],
  ] as const) {
    const [first, second] = [await upstream(t, { rcode }), await upstream(t, {})];
    const bench = new Bench(t);
    t.match(await bench.outcome(bench.forward([first.upstream, second.upstream])), { stored: { lifetime } });
  }
  const bench = new Bench(t);
  const second = await upstream(t, {});
  t.match(await bench.outcome(bench.forward([await deadUpstream(), second.upstream])), { stored: { lifetime: 5 } });
});

t.test("down is who left questions for several zones unanswered, and answered none meanwhile", async (t) => {
  const [first, second] = [await upstream(t), await upstream(t, { ip: "10.0.0.2" })];
  const bench = new Bench(t);
  const leaveUnanswered = async (name: string) => {
    const before = first.received.length;
    const asked = bench.forward([first.upstream, second.upstream], { name });
    await bench.asked(first, before + 1);
    bench.loop.pass(early + 10);
    bench.loop.pass(patience);
    await bench.outcome(asked);
    bench.loop.pass(FORWARD_TIME);
    t.equal(asked.ends.quiet, 1);
  };
  for (const name of ["a.one.example", "b.one.example", "one.example", "c.one.example", "x.two.test"])
    await leaveUnanswered(name);
  t.equal(bench.isDown(first.upstream), false, "two zones may be lame");
  first.udp.once("message", (query: Buffer, { port }: { port: number }) => void first.sendTo(port, replyTo(query)));
  await bench.outcome(bench.forward([first.upstream], { name: "lives.three.test" }));
  for (const name of ["a.four.test", "a.five.test"]) await leaveUnanswered(name);
  t.equal(bench.isDown(first.upstream), false, "one answer makes up for all before");
  await leaveUnanswered("a.six.test");
  t.equal(bench.isDown(first.upstream), true);
  const before = first.received.length;
  t.equal(
    addressOf(await bench.outcome(bench.forward([first.upstream, second.upstream]))),
    "10.0.0.2",
    "nobody waits for it",
  );
  t.equal(first.received.length, before);
});

t.test("one that is down is tried beside the others, and wins again when it answers", async (t) => {
  const [first, second] = [await upstream(t), await upstream(t, { ip: "10.0.0.2" })];
  const bench = new Bench(t);
  bench.bringDown(first.upstream);
  bench.loop.pass(5000);
  const asked = bench.forward([first.upstream, second.upstream]);
  t.equal(addressOf(await bench.outcome(asked)), "10.0.0.2", "nobody waits for it");
  t.match(asked.outcomes, { length: 1, 0: { stored: { lifetime: 5 } } });
  await bench.asked(first);
  await first.received[0]!.reply(replyTo(first.received[0]!.query));
  await bench.loop.until("it is up again", () => !bench.isDown(first.upstream));
  t.equal(asked.outcomes.length, 1);
  const next = bench.forward([first.upstream, second.upstream]);
  await bench.asked(first, 2);
  await first.received[1]!.reply(replyTo(first.received[1]!.query, { ip: "10.0.0.1" }));
  t.equal(addressOf(await bench.outcome(next)), "10.0.0.1");
});

t.test("a trial that stays without an answer ends with the question's time", async (t) => {
  const [first, second] = [await upstream(t), await upstream(t, { ip: "10.0.0.2" })];
  const bench = new Bench(t);
  bench.bringDown(first.upstream);
  bench.loop.pass(5000);
  const asked = bench.forward([first.upstream, second.upstream]);
  await bench.outcome(asked);
  await bench.asked(first);
  bench.loop.pass(FORWARD_TIME + 10);
  t.equal(asked.ends.quiet, 1);
  await first.received[0]!.reply(replyTo(first.received[0]!.query));
  for (let count = 0; count < 5; count++) await bench.loop.turn();
  t.ok(bench.isDown(first.upstream));
});

t.test("a later one that is down is asked only when nobody else is left", async (t) => {
  const [first, second] = [await upstream(t, { ip: "10.0.0.1" }), await upstream(t, { ip: "10.0.0.2" })];
  const bench = new Bench(t);
  bench.bringDown(second.upstream);
  bench.loop.pass(60_000);
  t.equal(addressOf(await bench.outcome(bench.forward([first.upstream, second.upstream]))), "10.0.0.1");
  t.equal(second.received.length, 0, "not even to try: it would learn names that are none of its business");
  const refusing = await upstream(t, { rcode: RCODE.REFUSED });
  t.equal(addressOf(await bench.outcome(bench.forward([refusing.upstream, second.upstream]))), "10.0.0.2");
});

t.test("what says nothing of a server does not count against it", async (t) => {
  const fake = await upstream(t);
  const bench = new Bench(t);
  const sockets: ForwardingSockets = {
    ...bench.sockets,
    udp: new UdpPool(bench.loop.poller, { more: () => undefined }, 1),
  };
  for (const name of ["a.one.test", "a.two.test", "a.three.test", "a.four.test"])
    bench.forward([fake.upstream], { sockets, name });
  for (let count = 0; count < 5; count++) await bench.loop.turn();
  sockets.udp.close();
  await bench.loop.turn();
  t.match(bench.health.report(), { length: 1, 0: { failures: 0, timeouts: 0, down: false } });
});

t.test("silence of a few zones is forgotten by nobody else's answer", (t) => {
  const bench = new Bench(t);
  const [first, second] = [
    { ip: "10.0.0.1", port: 53, from: "host" },
    { ip: "10.0.0.2", port: 53, from: "host" },
  ] as const;
  bench.bringDown(first);
  bench.health.answered(second, 1);
  t.match(bench.health.report(), { length: 2, 0: { down: true }, 1: { down: false } });
  t.end();
});

t.test("a late answer of the first is taken while the second is silent", async (t) => {
  const [first, second] = [await upstream(t), await upstream(t)];
  const bench = new Bench(t);
  const asked = bench.forward([first.upstream, second.upstream]);
  await bench.asked(first);
  bench.loop.pass(early + 10);
  await bench.asked(second);
  bench.loop.pass(patience - early);
  await first.received[0]!.reply(replyTo(first.received[0]!.query, { ip: "10.0.0.1" }));
  const outcome = await bench.outcome(asked);
  t.equal(addressOf(outcome), "10.0.0.1");
  t.match(outcome, { source: { upstream: first.upstream } });
  t.match(
    bench.health.report(),
    { length: 2, 0: { timeouts: 0, down: false }, 1: { timeouts: 0, down: false } },
    "the second had no time yet",
  );
});

t.test("a late refusal of the first does not cut the second's time short", async (t) => {
  const [first, second, third] = [await upstream(t), await upstream(t), await upstream(t)];
  const bench = new Bench(t);
  const asked = bench.forward([first.upstream, second.upstream, third.upstream]);
  await bench.asked(first);
  bench.loop.pass(early + 10);
  await bench.asked(second);
  await first.received[0]!.reply(replyTo(first.received[0]!.query, { rcode: RCODE.SERVFAIL }));
  await bench.loop.until("the refusal is read", () => bench.health.report()[0]?.answered === 1);
  await second.received[0]!.reply(replyTo(second.received[0]!.query, { ip: "10.0.0.2" }));
  t.equal(addressOf(await bench.outcome(asked)), "10.0.0.2");
  t.equal(third.received.length, 0);
});

/** A server that treats queries with EDNS in its own way, and answers those without. */
function old(t: TestLike, withEdns: (received: Received) => void): Promise<FakeUpstream> {
  return FakeUpstream.start(t, {
    onUdp: (received) =>
      hasEdns(received.query) ? withEdns(received) : void received.reply(replyTo(received.query, { ip: "10.0.0.3" })),
  });
}

const hasEdns = (query: Buffer) => query.readUInt16BE(10) > 0;
const bare = (query: Buffer, rcode: number) => {
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180 | rcode, 2);
  header.fill(0, 4);
  return header;
};
const withoutOpt = (query: Buffer, rcode: number) => {
  const { questionEnd } = queryFor("web.example");
  const reply = replyTo(Buffer.from(query.subarray(0, questionEnd)), { rcode });
  reply.writeUInt16BE(0, 10);
  return reply;
};

t.test("a server that refuses EDNS is asked without, at once, and remembered for a while", async (t) => {
  for (const rcode of [RCODE.FORMERR, RCODE.SERVFAIL, RCODE.NOTIMP, RCODE.REFUSED])
    for (const refusal of [bare, withoutOpt]) {
      const fake = await old(t, ({ query, reply }) => void reply(refusal(query, rcode)));
      const bench = new Bench(t);
      const ask = () => bench.forward([fake.upstream], { edns: true });
      t.equal(addressOf(await bench.outcome(ask())), "10.0.0.3", `${refusal.name} ${rcode}`);
      t.equal(addressOf(await bench.outcome(ask())), "10.0.0.3");
      t.same(
        fake.received.map(({ query }) => hasEdns(query)),
        [true, false, false],
      );
      bench.loop.pass(300_000);
      await bench.outcome(ask());
      t.same(
        fake.received.slice(3).map(({ query }) => hasEdns(query)),
        [true, false],
        "it may have learnt EDNS since",
      );
    }
});

t.test("an error of a server that knows EDNS is about the name", async (t) => {
  const { questionEnd } = queryFor("web.example");
  for (const rcode of [RCODE.SERVFAIL, RCODE.REFUSED]) {
    const knowing = await FakeUpstream.start(t, {
      onUdp: ({ query, reply }) => {
        const error = Buffer.concat([withoutOpt(query, rcode), query.subarray(questionEnd)]);
        error.writeUInt16BE(1, 10);
        void reply(error);
      },
    });
    const bench = new Bench(t);
    t.match(await bench.outcome(bench.forward([knowing.upstream], { edns: true })), { kind: "failed" });
    t.equal(knowing.received.length, 1);
    // One that leaves the record out of its replies, but has answered queries that had it.
    const ignoring = await old(
      t,
      ({ query, reply }) => void reply(withoutOpt(query, ignoring.received.length > 1 ? rcode : 0)),
    );
    await bench.outcome(bench.forward([ignoring.upstream], { edns: true }));
    t.match(await bench.outcome(bench.forward([ignoring.upstream], { edns: true })), { kind: "failed" });
    t.equal(ignoring.received.length, 2);
  }
});

t.test(
  "a server that drops EDNS is asked without, within its patience, and remembered when that has happened twice",
  async (t) => {
    const fake = await old(t, () => undefined);
    const second = await upstream(t, { ip: "10.0.0.2" });
    const bench = new Bench(t);
    for (const times of [1, 2]) {
      const asked = bench.forward([fake.upstream, second.upstream], { edns: true });
      await bench.asked(fake, 2 * times - 1);
      bench.loop.pass(700);
      t.equal(addressOf(await bench.outcome(asked)), "10.0.0.3");
    }
    t.equal(
      addressOf(await bench.outcome(bench.forward([fake.upstream, second.upstream], { edns: true }))),
      "10.0.0.3",
    );
    t.same(
      fake.received.map(({ query }) => hasEdns(query)),
      [true, false, true, false, false],
    );
    t.equal(second.received.length, 0);
  },
);

t.test("a slow server that takes EDNS is asked once", async (t) => {
  const fake = await FakeUpstream.start(t);
  const bench = new Bench(t);
  for (const times of [1, 2]) {
    const asked = bench.forward([fake.upstream], { edns: true });
    await bench.asked(fake, times);
    if (times === 2) bench.loop.pass(1900);
    for (let count = 0; count < 5; count++) await bench.loop.turn();
    const { query, reply } = fake.received[times - 1]!;
    await reply(withoutOpt(query, 0));
    await bench.outcome(asked);
  }
  t.equal(fake.received.length, 2);
});

t.test("an error that is not from the server changes nothing", async (t) => {
  const fake = await upstream(t);
  const bench = new Bench(t);
  const asked = bench.forward([fake.upstream], { edns: true });
  await bench.asked(fake);
  const { query, reply } = fake.received[0]!;
  const other = Buffer.from(query);
  other[0]! ^= 0x80;
  for (const forged of [
    bare(other, RCODE.SERVFAIL),
    bare(query, 0),
    bare(query, RCODE.NXDOMAIN),
    bare(query, RCODE.SERVFAIL).subarray(0, 11),
  ])
    await reply(forged);
  await reply(replyTo(queryWithoutEdns(query)));
  t.equal(addressOf(await bench.outcome(asked)), "10.0.0.1");
});

const queryWithoutEdns = (query: Buffer) => {
  const plain = Buffer.from(query.subarray(0, queryFor("web.example").questionEnd));
  plain.writeUInt16BE(0, 10);
  return plain;
};

t.test("silence of all is over before a client's patience is, and told once for each", async (t) => {
  const fakes = [await upstream(t), await upstream(t), await upstream(t)];
  const bench = new Bench(t);
  const asked = bench.forward(fakes.map(({ upstream }) => upstream));
  for (const fake of fakes) {
    await bench.asked(fake);
    bench.loop.pass(early + 10);
  }
  t.same(asked.outcomes, []);
  bench.loop.pass(FORWARD_TIME - 3 * (early + 10) - 10);
  t.same(asked.outcomes, []);
  bench.loop.pass(20);
  t.same(await bench.outcome(asked), {
    kind: "failed",
    why: "timeout",
    reason: "no answer from 127.0.0.1, 127.0.0.1, 127.0.0.1",
  });
  t.ok(FORWARD_TIME < 4000, "resolvers ask again after 5 s");
  t.same(
    bench.health.report().map(({ asked, timeouts }) => [asked, timeouts]),
    [
      [1, 1],
      [1, 1],
      [1, 0],
    ],
    "the last did not have its time",
  );
});

t.test("less time is taken where less is left", async (t) => {
  const fake = await upstream(t);
  const bench = new Bench(t);
  const asked = bench.forward([fake.upstream], { within: 500 });
  await bench.asked(fake);
  bench.loop.pass(510);
  t.match(await bench.outcome(asked), { kind: "failed", why: "timeout" });
});

t.test("silence counts for more than a refusal that came before", async (t) => {
  const [first, second] = [await upstream(t, { rcode: RCODE.REFUSED }), await upstream(t)];
  const bench = new Bench(t);
  const asked = bench.forward([first.upstream, second.upstream]);
  await bench.asked(second);
  bench.loop.pass(patience);
  bench.loop.pass(FORWARD_TIME);
  t.match(await bench.outcome(asked), { kind: "failed", why: "timeout" });
  t.match(bench.health.report(), { length: 2, 0: { timeouts: 0 }, 1: { timeouts: 1 } });
});

t.test("a truncated reply is asked for again over TCP", async (t) => {
  const fake = await upstream(t, { truncated: true }, { ip: "10.0.0.9" });
  const bench = new Bench(t);
  const outcome = await bench.outcome(bench.forward([fake.upstream]));
  t.equal(addressOf(outcome), "10.0.0.9");
  t.match(outcome, { source: { transport: "tcp" } });
  t.same(
    fake.received.map(({ transport }) => transport),
    ["udp", "tcp"],
  );
});

/** Whether an outcome is a truncated answer, to be passed on as such and not kept. */
const isTruncatedAnswer = (outcome: ForwardOutcome) =>
  outcome.kind === "reply" &&
  (Buffer.from(outcome.stored.bytes, "latin1").readUInt16BE(2) & 0x0200) !== 0 &&
  outcome.stored.lifetime === 0;

t.test("what was truncated is passed on where TCP is refused, broken, or of no more use", async (t) => {
  const ways: [what: string, options: FakeUpstreamOptions][] = [
    ["cut off", { onTcp: (_, connection) => connection.destroy() }],
    ["SERVFAIL", { onTcp: ({ query, reply }) => void reply(replyTo(query, { rcode: RCODE.SERVFAIL })) }],
    ["REFUSED", { onTcp: ({ query, reply }) => void reply(replyTo(query, { rcode: RCODE.REFUSED })) }],
    ["nonsense", { onTcp: ({ reply }) => void reply(Buffer.alloc(40)) }],
  ];
  for (const [what, options] of ways) {
    const fake = await FakeUpstream.start(t, {
      onUdp: ({ query, reply }) => void reply(replyTo(query, { truncated: true })),
      ...options,
    });
    const second = await upstream(t, { ip: "10.0.0.2" });
    const bench = new Bench(t);
    t.ok(isTruncatedAnswer(await bench.outcome(bench.forward([fake.upstream, second.upstream]))), what);
    t.equal(second.received.length, 0);
  }
  const closed = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => void reply(replyTo(query, { truncated: true })),
  });
  closed.refuseTcp();
  const bench = new Bench(t);
  t.ok(isTruncatedAnswer(await bench.outcome(bench.forward([closed.upstream]))), "refused");
});

t.test("a truncated reply that does not hold together is passed on without what it has lost", async (t) => {
  const fake = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => {
      const cut = replyTo(query).subarray(0, -2);
      cut.writeUInt16BE(0x8380, 2);
      void reply(cut);
    },
    onTcp: (_, connection) => connection.destroy(),
  });
  const bench = new Bench(t);
  const outcome = await bench.outcome(bench.forward([fake.upstream]));
  t.ok(isTruncatedAnswer(outcome));
  t.match(outcome, { stored: { hasAnswers: false } });
});

t.test("what was truncated is passed on when TCP stays silent for the patience, also by the only server", async (t) => {
  const fake = await upstream(t, { truncated: true });
  const second = await upstream(t, { ip: "10.0.0.2" });
  for (const upstreams of [[fake.upstream], [fake.upstream, second.upstream]]) {
    const bench = new Bench(t);
    const asked = bench.forward(upstreams);
    const before = fake.received.length;
    await bench.loop.until("TCP is asked", () =>
      fake.received.slice(before).some(({ transport }) => transport === "tcp"),
    );
    bench.loop.pass(patience - 10);
    for (let count = 0; count < 5; count++) await bench.loop.turn();
    t.same(asked.outcomes, []);
    bench.loop.pass(20);
    t.ok(isTruncatedAnswer(await bench.outcome(asked)));
  }
});

t.test("where TCP does not work, a client that takes more is given a larger datagram", async (t) => {
  const fake = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) =>
      void reply(sizeIn(query) > 1232 ? withoutOpt(query, 0) : Buffer.concat([withoutOpt(query, 0)]).fill(0x83, 2, 3)),
    onTcp: (_, connection) => connection.destroy(),
  });
  const bench = new Bench(t);
  const outcome = await bench.outcome(bench.forward([fake.upstream], { edns: true, clientSize: 4096 }));
  t.equal(isTruncatedAnswer(outcome), false);
  t.same(
    fake.received.map(({ query, transport }) => `${transport} ${sizeIn(query)}`),
    ["udp 1232", "tcp 1232", "udp 4096"],
  );
  const always = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => void reply(withoutOpt(query, 0).fill(0x83, 2, 3)),
    onTcp: (_, connection) => connection.destroy(),
  });
  t.ok(
    isTruncatedAnswer(await bench.outcome(bench.forward([always.upstream], { edns: true, clientSize: 4096 }))),
    "and what is truncated even so is passed on",
  );
  const lost = await FakeUpstream.start(t, {
    onUdp: ({ query, reply }) => void (sizeIn(query) > 1232 || reply(withoutOpt(query, 0).fill(0x83, 2, 3))),
    onTcp: (_, connection) => connection.destroy(),
  });
  const asked = bench.forward([lost.upstream], { edns: true, clientSize: 4096 });
  await bench.asked(lost, 3);
  bench.loop.pass(patience + 10);
  t.ok(isTruncatedAnswer(await bench.outcome(asked)), "also when the way does not carry more");
});

/** The UDP size in a query of our own. */
const sizeIn = (query: Buffer) => query.readUInt16BE(queryFor("web.example").questionEnd + 3);

t.test("what a client asks over TCP is asked over TCP, and over UDP where that does not work", async (t) => {
  const ways: [what: string, options: FakeUpstreamOptions, expected: string[]][] = [
    [
      "both work",
      {
        onUdp: ({ query, reply }) => void reply(replyTo(query)),
        onTcp: ({ query, reply }) => void reply(replyTo(query)),
      },
      ["tcp"],
    ],
    ["UDP is blocked", { onTcp: ({ query, reply }) => void reply(replyTo(query)) }, ["tcp"]],
    [
      "TCP is cut off",
      { onUdp: ({ query, reply }) => void reply(replyTo(query)), onTcp: (_, connection) => connection.destroy() },
      ["tcp", "udp"],
    ],
    [
      "TCP is cut off, and UDP truncated",
      {
        onUdp: ({ query, reply }) => void reply(replyTo(query, { truncated: true })),
        onTcp: (_, connection) => connection.destroy(),
      },
      ["tcp", "udp"],
    ],
  ];
  for (const [what, options, expected] of ways) {
    const fake = await FakeUpstream.start(t, options);
    const bench = new Bench(t);
    const outcome = await bench.outcome(bench.forward([fake.upstream], { overTcp: true }));
    t.equal(outcome.kind, "reply", what);
    t.match(bench.health.report(), { length: 1, 0: { asked: 1, answered: 1 } });
    t.same(
      fake.received.map(({ transport }) => transport),
      expected,
      what,
    );
  }
  const silent = await upstream(t, {});
  const bench = new Bench(t);
  const asked = bench.forward([silent.upstream], { overTcp: true });
  await bench.asked(silent);
  bench.loop.pass(700);
  t.equal(addressOf(await bench.outcome(asked)), "10.0.0.1", "TCP is silent");
  t.same(
    silent.received.map(({ transport }) => transport),
    ["tcp", "udp"],
  );
  const dead = await deadUpstream();
  t.match(await bench.outcome(bench.forward([dead], { overTcp: true })), { kind: "failed", why: "network" });
});

t.test("a missing TCP socket is a TCP that does not work", async (t) => {
  const fake = await upstream(t, { truncated: true });
  const bench = new Bench(t);
  const sockets: ForwardingSockets = { ...bench.sockets, takeTcp: (ready) => ready(undefined) };
  t.ok(isTruncatedAnswer(await bench.outcome(bench.forward([fake.upstream], { sockets }))));
});

t.test("a TCP socket that comes after the end is given back", async (t) => {
  const fake = await upstream(t, { truncated: true });
  const bench = new Bench(t);
  const waiting: ((fd: number | undefined) => void)[] = [];
  const givenBack: number[] = [];
  const sockets: ForwardingSockets = {
    ...bench.sockets,
    takeTcp: (ready) => waiting.push(ready),
    giveBackTcp: (fd) => givenBack.push(fd),
  };
  const asked = bench.forward([fake.upstream], { sockets });
  await bench.loop.until("a socket is wanted", () => waiting.length === 1);
  asked.cancel();
  waiting[0]!(12345);
  t.same(givenBack, [12345]);
});

t.test("forged replies change nothing", async (t) => {
  const fake = await upstream(t);
  const bench = new Bench(t);
  const asked = bench.forward([fake.upstream]);
  await bench.asked(fake);
  const { query, reply } = fake.received[0]!;
  await reply(replyTo(Buffer.concat([Buffer.from([query[0]! ^ 0x80]), query.subarray(1)]), { ip: "6.6.6.6" }));
  await reply(
    replyTo(Buffer.concat([query.subarray(0, 2), queryFor("bad.example").query.subarray(2)]), { ip: "6.6.6.6" }),
  );
  await reply(replyTo(query));
  t.equal(addressOf(await bench.outcome(asked)), "10.0.0.1");
});

t.test("a cancelled question ends without an outcome, whenever", async (t) => {
  const fake = await upstream(t);
  const bench = new Bench(t);
  const early = bench.forward([fake.upstream]);
  early.cancel();
  const late = bench.forward([fake.upstream]);
  await bench.asked(fake);
  late.cancel();
  late.cancel();
  await fake.received[0]!.reply(replyTo(fake.received[0]!.query));
  bench.loop.pass(FORWARD_TIME * 2);
  await bench.loop.turn();
  t.same([...early.outcomes, ...late.outcomes], []);
  t.equal(fake.received.length, 1, "what was cancelled at once is never asked");
});

t.test("nothing stays open", async (t) => {
  const [truncating, silent] = [await upstream(t, { truncated: true }, {}), await upstream(t)];
  const dead = await deadUpstream();
  const before = openDescriptors();
  const bench = new Bench({ teardown: () => undefined });
  await bench.outcome(bench.forward([dead, truncating.upstream]));
  bench.forward([silent.upstream]).cancel();
  const asked = bench.forward([silent.upstream]);
  await bench.asked(silent);
  asked.cancel();
  // The server's end of a TCP connection is in this process too, and closes when it hears of the other's.
  await bench.loop.until("the sockets of TCP are closed", () => openDescriptors() <= before + 3);
  bench.close();
  t.equal(openDescriptors(), before);
});

t.test("a process without a free descriptor fails the question, and no more", async (t) => {
  // Fewer to use up; the limit is this process's own, and it ends with this test.
  const limited = spawnSync("prlimit", ["--pid", String(process.pid), "--nofile=512:"]);
  if (limited.status !== 0)
    return t.pass("not tried", { skip: "prlimit (util-linux) cannot lower the limit of descriptors" });
  const fake = await upstream(t);
  const bench = new Bench(t);
  const withoutUdp = bench.forward([fake.upstream]);
  const release = takeAllDescriptors();
  try {
    t.doesNotThrow(() => bench.loop.poller.dispatch(0));
  } finally {
    release();
  }
  bench.loop.pass(FORWARD_TIME + 10);
  t.match(await bench.outcome(withoutUdp), { kind: "failed" });
});

t.test("a process without a descriptor for TCP passes on what it has, at once", async (t) => {
  const limited = spawnSync("prlimit", ["--pid", String(process.pid), "--nofile=512:"]);
  if (limited.status !== 0)
    return t.pass("not tried", { skip: "prlimit (util-linux) cannot lower the limit of descriptors" });
  const fake = await upstream(t);
  const bench = new Bench(t);
  const asked = bench.forward([fake.upstream]);
  await bench.asked(fake);
  const release = takeAllDescriptors();
  try {
    await fake.received[0]!.reply(replyTo(fake.received[0]!.query, { truncated: true }));
    t.ok(isTruncatedAnswer(await bench.outcome(asked)));
  } finally {
    release();
  }
});

/** Leaves the process no descriptor to open. @returns gives them back */
function takeAllDescriptors(): () => void {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch {
    return () => taken.forEach((fd) => closeSync(fd));
  }
}
