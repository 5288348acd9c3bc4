import fc from "fast-check";
import t from "tap";
import { TimerWheel, type Timer } from "./timer-wheel.js";

/** A wheel whose time the test sets. */
class Bench {
  now: number;
  readonly timers: TimerWheel;
  readonly ran: string[] = [];

  constructor(start = 1000) {
    this.now = start;
    this.timers = new TimerWheel(() => this.now);
  }

  in(delay: number, name = String(delay)) {
    return this.timers.schedule(delay, () => this.ran.push(name));
  }

  /** Moves on by `ms`, turning at every one of them. */
  pass(ms: number, step = 1): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now = Math.min(end, this.now + step);
      this.timers.turn();
    }
  }
}

t.test("a timer runs once, not early and at most one tick late", (t) => {
  for (const delay of [0, 1, 7, 8, 9, 100, 3800, 8191, 8192, 8200, 60_000]) {
    const bench = new Bench();
    bench.in(delay);
    bench.pass(delay - 1);
    t.same(bench.ran, [], `${delay}: not early`);
    bench.pass(10);
    t.same(bench.ran, [String(delay)], `${delay}: in time`);
    bench.pass(20_000, 50);
    t.equal(bench.ran.length, 1, `${delay}: once`);
  }
  t.end();
});

t.test("however seldom the wheel is turned, nothing is lost", (t) => {
  const bench = new Bench();
  for (const delay of [10, 5000, 9000, 30_000]) bench.in(delay);
  bench.pass(20_000, 20_000);
  t.same([...bench.ran].sort(), ["10", "5000", "9000"]);
  bench.pass(20_000, 20_000);
  t.equal(bench.ran.length, 4);
  t.end();
});

t.test("a cancelled timer does not run", (t) => {
  const bench = new Bench();
  const deadline = bench.in(50);
  bench.in(60);
  deadline.cancel();
  deadline.cancel();
  bench.pass(100);
  t.same(bench.ran, ["60"]);
  deadline.cancel();
  t.equal(bench.timers.waitAtMost(500), 500, "nothing is left");
  t.end();
});

t.test("a timer may cancel another of the same moment, and set new ones", (t) => {
  const bench = new Bench();
  const victims: Timer[] = [];
  bench.timers.schedule(10, () => {
    for (const victim of victims) victim.cancel();
    bench.in(0, "at once");
    bench.in(20, "later");
  });
  victims.push(bench.in(10, "victim"));
  bench.pass(20);
  t.same(bench.ran, ["at once"]);
  bench.pass(40);
  t.same(bench.ran, ["at once", "later"]);
  t.end();
});

t.test("the time to wait is never past the next timer's tick", (t) => {
  const bench = new Bench();
  t.equal(bench.timers.waitAtMost(100), 100, "without deadlines as long as one likes");
  bench.in(30);
  const wait = bench.timers.waitAtMost(100);
  t.ok(wait >= 1 && wait <= 38, `${wait} ms`);
  t.ok(bench.timers.waitAtMost(5) <= 5);
  t.equal(new Bench().timers.waitAtMost(0), 0);
  t.end();
});

t.test("an overdue timer is not waited for", (t) => {
  const bench = new Bench(0);
  bench.in(20);
  // The loop was busy elsewhere, and asks how long it may wait before it has turned the wheel.
  bench.now = 60;
  t.ok(bench.timers.waitAtMost(100) <= 8, `${bench.timers.waitAtMost(100)} ms`);
  t.end();
});

t.test("waiting as long as the wheel says runs everything in time", (t) => {
  const holds = () =>
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 400 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 12 }),
        (delays, work) => {
          const bench = new Bench(0);
          const late: number[] = [];
          for (const delay of delays) {
            const due = delay;
            bench.timers.schedule(delay, () => late.push(bench.now - due));
          }
          // Each round the loop waits, turns, and then has other things to do.
          for (let round = 0; round < 1000 && late.length < delays.length; round++) {
            bench.now += bench.timers.waitAtMost(100);
            bench.timers.turn();
            bench.now += work;
          }
          return late.length === delays.length && late.every((ms) => ms >= 0 && ms <= 8 + work + 8);
        },
      ),
    );
  t.doesNotThrow(holds);
  t.end();
});
