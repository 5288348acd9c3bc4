import fc from "fast-check";
import t from "tap";
import type { Upstream } from "./protocol.js";
import { UpstreamHealth } from "./upstreams.js";

const upstream = (ip: string, from: Upstream["from"] = "host"): Upstream => ({ ip, port: 53, from });
const [a, b, c] = [upstream("10.0.0.1"), upstream("10.0.0.2"), upstream("10.0.0.3")];

class Clocked {
  now = 0;
  readonly health = new UpstreamHealth(() => this.now);

  /** The order in which they are asked, and after a plus sign whoever is tried beside them. */
  plan(upstreams: readonly Upstream[] = [a, b, c]): string {
    const { order, probe } = this.health.plan(upstreams);
    const last = ({ ip }: Upstream) => ip.slice(-1);
    return order.filter((each) => each !== probe).map(last).join("") + (probe ? `+${last(probe)}` : "");
  }
}

t.test("upstreams are asked as configured, those that are down last", (t) => {
  const clocked = new Clocked();
  t.equal(clocked.plan(), "123");
  clocked.health.timedOut(a);
  t.equal(clocked.plan(), "231");
  clocked.health.failed(b);
  t.equal(clocked.plan(), "312");
  t.equal(clocked.plan([b, a]), "21", "all down: as configured");
  clocked.health.failed(c);
  t.equal(clocked.plan(), "123");
  t.equal(clocked.plan([]), "");
  t.end();
});

t.test("one that is down is tried every five seconds, whoever asks, until it answers", (t) => {
  const clocked = new Clocked();
  clocked.health.timedOut(a);
  const cases: [ms: number, expected: string][] = [[4999, "231"], [5000, "23+1"], [5001, "231"], [9999, "231"], [10_000, "23+1"], [10_000, "231"]];
  for (const [ms, expected] of cases) {
    clocked.now = ms;
    t.equal(clocked.plan(), expected, `at ${ms} ms`);
  }
  clocked.now = 12_000;
  clocked.health.timedOut(a);
  clocked.now = 15_000;
  t.equal(clocked.plan(), "23+1", "to be silent again does not put the next trial off");
  clocked.health.answered(a, 5);
  t.equal(clocked.plan(), "123");
  t.end();
});

t.test("one is tried at a time", (t) => {
  const clocked = new Clocked();
  clocked.health.timedOut(a);
  clocked.health.timedOut(b);
  clocked.now = 5000;
  t.equal(clocked.plan(), "32+1");
  t.equal(clocked.plan(), "31+2");
  t.equal(clocked.plan(), "312");
  t.end();
});

t.test("all are down when each is", (t) => {
  const { health } = new Clocked();
  t.equal(health.allDown([]), false, "nobody is not down");
  health.timedOut(a);
  t.equal(health.allDown([a]), true);
  t.equal(health.allDown([a, b]), false);
  health.failed(b);
  t.equal(health.allDown([a, b]), true);
  health.answered(b, 1);
  t.equal(health.allDown([a, b]), false);
  t.end();
});

t.test("an upstream is waited for as its latency suggests, within bounds", (t) => {
  const patienceAfter = (...took: number[]) => {
    const { health } = new Clocked();
    for (const ms of took) health.answered(a, ms);
    return health.patienceFor(a);
  };
  t.equal(patienceAfter(), 250, "nothing is known");
  t.equal(patienceAfter(1), 60);
  t.equal(patienceAfter(50), 150);
  t.equal(patienceAfter(2000), 300);
  t.equal(patienceAfter(50, 100), 180, "smoothed");
  fc.assert(fc.property(fc.array(fc.double({ min: 0, max: 4000, noNaN: true })), (took) => patienceAfter(...took) >= 60 && patienceAfter(...took) <= 300));
  t.end();
});

t.test("the same address from another namespace is another server", (t) => {
  const { health } = new Clocked();
  health.timedOut(a);
  t.equal(health.allDown([upstream(a.ip, "container")]), false);
  t.equal(health.allDown([{ ...a, port: 5353 }]), false);
  t.end();
});

t.test("everything is counted", (t) => {
  const { health } = new Clocked();
  health.asked(a);
  health.asked(a);
  health.answered(a, 10);
  health.timedOut(a);
  health.failed(b);
  t.same(health.report(), [
    { upstream: a, asked: 2, answered: 1, timeouts: 1, failures: 0, latency: 10, down: true },
    { upstream: b, asked: 0, answered: 0, timeouts: 0, failures: 1, latency: 0, down: true },
  ]);
  t.end();
});

t.test("what is known is bounded", (t) => {
  const { health } = new Clocked();
  for (let index = 0; index < 5000; index++) health.asked(upstream(`10.0.${index >> 8}.${index & 255}`));
  t.equal(health.report().length, 4096);
  t.end();
});
