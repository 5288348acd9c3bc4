import fc from "fast-check";
import t from "tap";
import { AnswerCache } from "./answer-cache.js";
import type { StoredReply } from "../wire/stored-reply.js";

const source = { kind: "upstream", upstream: { ip: "10.0.0.53", port: 53, from: "host" }, transport: "udp" } as const;
const reply = (given: Partial<StoredReply> = {}): StoredReply => ({
  bytes: "x".repeat(50),
  ttlOffsets: [20],
  rcode: 0,
  lifetime: 60,
  hasAnswers: true,
  ...given,
});
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
  const cases: [seconds: number, expected: string | undefined][] = [
    [0, "0"],
    [1.9, "1"],
    [59.999, "59"],
    [60, "60!"],
    [day + 60, `${day + 60}!`],
    [day + 60.1, undefined],
    [0, undefined],
  ];
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
  const stored = reply({
    bytes: "\0\xff\x80web",
    ttlOffsets: [12, 300, 65_535],
    rcode: 3,
    lifetime: 86_400,
    hasAnswers: false,
  });
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

t.test("whoever asks for most drives out its own", (t) => {
  const { cache } = new Clocked(100_000);
  for (let index = 0; index < 20; index++) cache.put(`quiet${index}`, reply(), source, "quiet");
  for (let index = 0; index < 20; index++) cache.put(`other${index}`, reply(), source, "other");
  for (let index = 0; index < 10_000; index++) {
    cache.put(`loud${index}`, reply(), source, "loud");
    t.ok(cache.bytes <= 100_000);
  }
  const kept = ["quiet", "other"]
    .flatMap((name) => Array.from({ length: 20 }, (_, index) => cache.get(`${name}${index}`)))
    .filter((entry) => entry !== undefined);
  t.ok(kept.length >= 36, `${kept.length} of 40 are left`); // of a long row that is moved the last gives way
  t.ok(cache.get("loud9999"));
  t.notOk(cache.get("loud1"));
  for (let index = 0; index < 10_000; index++) cache.put(`second${index}`, reply(), source, "second");
  const left = Array.from({ length: 10_000 }, (_, index) => cache.get(`loud${index}`)).filter(
    (entry) => entry !== undefined,
  ).length;
  t.ok(left > 100 && left < 300, `two who ask for much share what is left: ${left}`);
  t.end();
});

t.test("it holds whatever is put, asked for and forgotten, in any order", (t) => {
  const operation = fc.tuple(fc.constantFrom("put", "get", "short", "pass"), fc.nat(12), fc.nat(3), fc.nat(900));
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
      const clocked = new Clocked(5000);
      const { cache } = clocked;
      for (const [what, key, owner, bytes] of operations) {
        if (what === "put") cache.put(`k${key}`, reply({ bytes: "x".repeat(bytes) }), source, `o${owner}`);
        else if (what === "short") cache.put(`k${key}`, reply({ lifetime: 1, hasAnswers: false }), source, `o${owner}`);
        else if (what === "get") cache.get(`k${key}`);
        else clocked.seconds += 2;
        if (cache.bytes > 5000 || cache.bytes < 0 || (cache.size === 0) !== (cache.bytes === 0)) return false;
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.end();
});
