import t from "tap";
import { keyOfText, likelyZoneOf, textOfKey } from "../wire/name.js";
import type { Upstream } from "../protocol.js";
import { UpstreamHealth } from "./upstreams.js";

const upstream = (ip: string, from: Upstream["from"] = "host"): Upstream => ({ ip, port: 53, from });
const [a, b, c] = [upstream("10.0.0.1"), upstream("10.0.0.2"), upstream("10.0.0.3")];

class Clocked {
  now = 0;
  readonly health = new UpstreamHealth(() => this.now);

  /** Who is waited for, in which order, and after a plus sign whoever is tried beside them. */
  plan(upstreams: readonly Upstream[] = [a, b, c]): string {
    const { down, probe } = this.health.plan(upstreams);
    const last = ({ ip }: Upstream) => ip.slice(-1);
    return (
      upstreams
        .filter((each) => !down.has(each))
        .map(last)
        .join("") + (probe ? `+${last(probe)}` : "")
    );
  }

  bringDown(upstream: Upstream): void {
    for (const zone of ["one.test", "two.test"]) this.health.timedOut(upstream, keyOfText(zone)!);
    this.health.failed(upstream, keyOfText("three.test")!);
  }

  isDown(upstream: Upstream): boolean {
    return this.health.plan([upstream, c]).down.has(upstream);
  }
}

t.test("upstreams are asked as configured, without those that are down", (t) => {
  const clocked = new Clocked();
  t.equal(clocked.plan(), "123");
  clocked.bringDown(a);
  t.equal(clocked.plan(), "23");
  clocked.bringDown(b);
  t.equal(clocked.plan(), "3");
  t.equal(clocked.plan([b, a]), "21", "all down: as configured");
  clocked.bringDown(c);
  t.equal(clocked.plan(), "123");
  t.equal(clocked.plan([]), "");
  t.end();
});

t.test("one that is down is tried every five seconds, whoever asks, until it answers", (t) => {
  const clocked = new Clocked();
  clocked.bringDown(a);
  const cases: [ms: number, expected: string][] = [
    [4999, "23"],
    [5000, "23+1"],
    [5001, "23"],
    [9999, "23"],
    [10_000, "23+1"],
    [10_000, "23"],
  ];
  for (const [ms, expected] of cases) {
    clocked.now = ms;
    t.equal(clocked.plan(), expected, `at ${ms} ms`);
  }
  clocked.now = 12_000;
  clocked.bringDown(a);
  clocked.now = 15_000;
  t.equal(clocked.plan(), "23+1", "to be silent again does not put the next trial off");
  clocked.health.answered(a, 5);
  t.equal(clocked.plan(), "123");
  t.end();
});

t.test("one is tried at a time, and only if it comes before the first that is up", (t) => {
  const clocked = new Clocked();
  clocked.bringDown(a);
  clocked.bringDown(b);
  clocked.now = 5000;
  t.equal(clocked.plan(), "3+1");
  t.equal(clocked.plan(), "3+2");
  t.equal(clocked.plan(), "3");
  const behind = new Clocked();
  behind.bringDown(b);
  behind.now = 60_000;
  t.equal(behind.plan(), "13");
  t.end();
});

t.test("one zone, however often, is not several", (t) => {
  const clocked = new Clocked();
  for (let count = 0; count < 100; count++) clocked.health.timedOut(a, keyOfText(count % 2 ? "one.test" : "two.test")!);
  t.equal(clocked.plan(), "123");
  clocked.health.answered(a, 1);
  clocked.health.timedOut(a, keyOfText("three.test")!);
  t.equal(clocked.plan(), "123", "what was before an answer does not count");
  t.end();
});

t.test("how zones are guessed", (t) => {
  const zoneOf = (name: string) => textOfKey(likelyZoneOf(keyOfText(name)!));
  for (const [name, zone] of [
    ["www.example.com", "example.com"],
    ["example.com", "example.com"],
    ["com", "com"],
    ["a.b.c.d.example.com", "example.com"],
    ["4.3.2.10.in-addr.arpa", "2.10.in-addr.arpa"],
    ["in-addr.arpa", "in-addr.arpa"],
  ] as const)
    t.equal(zoneOf(name), zone);
  t.equal(likelyZoneOf(""), "");
  t.end();
});

t.test("the same address from another namespace is another server", (t) => {
  const clocked = new Clocked();
  clocked.bringDown(a);
  t.equal(clocked.isDown(a), true);
  t.equal(clocked.isDown(upstream(a.ip, "container")), false);
  t.equal(clocked.isDown({ ...a, port: 5353 }), false);
  t.end();
});

t.test("everything is counted", (t) => {
  const { health } = new Clocked();
  health.asked(a);
  health.asked(a);
  health.answered(a, 10);
  health.timedOut(a, keyOfText("one.test")!);
  health.failed(b, keyOfText("one.test")!);
  t.same(health.report(), [
    { upstream: a, asked: 2, answered: 1, timeouts: 1, failures: 0, latency: 10, down: false },
    { upstream: b, asked: 0, answered: 0, timeouts: 0, failures: 1, latency: 0, down: false },
  ]);
  t.end();
});

t.test("what is known is bounded", (t) => {
  const { health } = new Clocked();
  for (let index = 0; index < 5000; index++) health.asked(upstream(`10.0.${index >> 8}.${index & 255}`));
  t.equal(health.report().length, 4096);
  t.end();
});
