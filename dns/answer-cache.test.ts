import t from "tap";
import { AnswerCache } from "./answer-cache.js";
import type { StoredReply } from "./stored-reply.js";

const source = { kind: "upstream", upstream: { ip: "10.0.0.53", port: 53, from: "host" }, transport: "udp" } as const;
const reply = (given: Partial<StoredReply> = {}): StoredReply => ({ bytes: "x".repeat(50), ttlOffsets: [20], rcode: 0, lifetime: 60, hasAnswers: true, ...given });
const day = 86_400;

class Clocked {
  seconds = 0;
  readonly cache = new AnswerCache(() => this.seconds * 1000);

  constructor(limit = 100_000) {
    this.cache.limit(limit);
  }

  /** What it has at a time: seconds of age, with an exclamation mark when it is stale. */
  at(seconds: number, key = "web"): string | undefined {
    this.seconds = seconds;
    const cached = this.cache.get(key);
    return cached && `${cached.age}${cached.fresh ? "" : "!"}`;
  }
}

t.test("a reply is fresh for its lifetime, and stale for a day", (t) => {
  const clocked = new Clocked();
  clocked.cache.put("web", reply(), source);
  const cases: [seconds: number, expected: string | undefined][] = [[0, "0"], [1.9, "1"], [59.999, "59"], [60, "60!"], [day + 60, `${day + 60}!`], [day + 60.1, undefined], [0, undefined]];
  for (const [seconds, expected] of cases) t.equal(clocked.at(seconds), expected, `after ${seconds} s`);
  t.equal(clocked.cache.bytes, 0, "what is too old is gone");
  t.end();
});

t.test("a negative reply that has expired says nothing", (t) => {
  const clocked = new Clocked();
  clocked.cache.put("web", reply({ hasAnswers: false, rcode: 3 }), source);
  t.equal(clocked.at(59), "59");
  t.equal(clocked.at(60), undefined);
  t.equal(clocked.cache.size, 0);
  t.end();
});

t.test("news take the place of what was known, also when they are not kept", (t) => {
  const clocked = new Clocked();
  clocked.cache.put("web", reply(), source);
  clocked.seconds = 61;
  clocked.cache.put("web", reply({ lifetime: 5 }), source);
  t.equal(clocked.at(62), "1");
  clocked.cache.put("web", reply({ lifetime: 0, hasAnswers: false, rcode: 3 }), source);
  t.equal(clocked.at(62), undefined);
  clocked.cache.put("other", reply({ lifetime: 0 }), source);
  t.equal(clocked.cache.size, 0);
  t.end();
});

t.test("the entry is what was put", (t) => {
  const { cache } = new Clocked();
  const stored = reply({ bytes: "\0\xff\x80web", ttlOffsets: [12, 300, 65_535], rcode: 3, lifetime: 86_400, hasAnswers: false });
  cache.put("web", stored, source);
  t.same(cache.get("web")?.stored, stored);
  t.same(cache.get("web")?.source, source);
  t.equal(cache.get("other"), undefined);
  t.end();
});

t.test("bytes are bounded, and those not used go first", (t) => {
  const clocked = new Clocked(100_000);
  let most = 0;
  for (let index = 0; index < 1000; index++) {
    clocked.cache.put(`name${index}`, reply({ bytes: "x".repeat(150) }), source);
    most = Math.max(most, clocked.cache.bytes);
    clocked.cache.get("name0");
  }
  t.ok(most <= 100_000);
  t.ok(clocked.cache.bytes > 90_000, "and nearly used up");
  t.equal(clocked.at(0, "name0"), "0");
  t.equal(clocked.at(0, "name1"), undefined);
  t.equal(clocked.at(0, "name999"), "0");
  t.end();
});

t.test("what is larger than everything is not kept, and drives nothing out", (t) => {
  const clocked = new Clocked(10_000);
  clocked.cache.put("web", reply(), source);
  clocked.cache.put("huge", reply({ bytes: "x".repeat(10_001) }), source);
  t.equal(clocked.at(0), "0");
  t.equal(clocked.at(0, "huge"), undefined);
  t.end();
});

t.test("without a limit, or with 0, nothing is kept", (t) => {
  const cache = new AnswerCache(() => 0);
  cache.put("web", reply(), source);
  t.same([cache.get("web"), cache.size, cache.bytes], [undefined, 0, 0]);
  cache.limit(1000);
  cache.put("web", reply(), source);
  cache.limit(1000);
  t.equal(cache.size, 1, "the same limit changes nothing");
  cache.limit(0);
  cache.put("web", reply(), source);
  t.same([cache.get("web"), cache.size, cache.bytes], [undefined, 0, 0]);
  t.end();
});
