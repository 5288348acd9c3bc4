import fc from "fast-check";
import t from "tap";
import { RecordRing } from "./record-ring.js";

function put(ring: RecordRing, key: string, payload: string, owner?: string): boolean {
  const start = ring.put(key, payload.length, owner);
  if (start !== undefined) ring.arena.write(payload, start, "latin1");
  return start !== undefined;
}

function get(ring: RecordRing, key: string): string | undefined {
  const place = ring.get(key);
  return place && ring.arena.toString("latin1", place.start, place.end);
}

t.test("the newest are there, as they were put, whatever came before", (t) => {
  const step = fc.record({
    key: fc.integer({ min: 0, max: 60 }).map((index) => `key${index}\xff`),
    length: fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 1200 })),
    what: fc.constantFrom("put", "put", "put", "get", "delete"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.integer({ min: 1024, max: 5000 }), (steps, bytes) => {
      const ring = new RecordRing(bytes);
      const truth = new Map<string, string>();
      for (const [turn, { key, length, what }] of steps.entries()) {
        if (what === "delete") {
          ring.delete(key);
          truth.delete(key);
        } else if (what === "put") {
          const payload = `${turn}:`.padEnd(length, "x");
          if (put(ring, key, payload)) truth.set(key, payload);
          else truth.delete(key);
          if (truth.has(key) && get(ring, key) !== payload) return false;
        }
        const found = get(ring, key);
        if (found !== undefined && found !== truth.get(key)) return false;
      }
      const found = [...truth].filter(([key, payload]) => get(ring, key) === payload);
      return found.length === ring.size && ring.bytes <= ring.arena.length;
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test("what is used outlives a flood of what is not", (t) => {
  const ring = new RecordRing(64 * 1024);
  for (let index = 0; index < 50; index++) put(ring, `wanted${index}`, "y".repeat(100));
  for (let index = 0; index < 20_000; index++) {
    put(ring, `flood${index}`, "x".repeat(100));
    get(ring, `wanted${index % 50}`);
  }
  const left = Array.from({ length: 50 }, (_, index) => get(ring, `wanted${index}`)).filter(
    (payload) => payload !== undefined,
  );
  // Moved one after the other they come to stand in a row; of a long row the last gives way.
  t.ok(left.length >= 45, `${left.length} of 50 are left`);
  t.same([...new Set(left)], ["y".repeat(100)]);
  t.equal(get(ring, "flood0"), undefined);
  t.equal(get(ring, "flood19999"), "x".repeat(100));
  t.end();
});

t.test("when all are used, some go all the same", (t) => {
  const ring = new RecordRing(16 * 1024);
  for (let index = 0; index < 5000; index++) {
    t.ok(put(ring, `key${index}`, "x".repeat(50)));
    for (let before = Math.max(0, index - 300); before <= index; before++) get(ring, `key${before}`);
  }
  t.equal(get(ring, "key4999"), "x".repeat(50));
  t.ok(ring.bytes <= ring.arena.length);
  t.end();
});

t.test("tiny records are bounded by the index", (t) => {
  const ring = new RecordRing(16 * 1024);
  for (let index = 0; index < 5000; index++) put(ring, `${index}`, "");
  t.equal(ring.size, 192, "three quarters of 256 slots");
  t.equal(get(ring, "4999"), "");
  t.end();
});

t.test("an owner with more than an equal share drives out its own", (t) => {
  const ring = new RecordRing(64 * 1024);
  for (let index = 0; index < 100; index++) put(ring, `quiet${index}`, "y".repeat(100), "quiet");
  for (let index = 0; index < 20_000; index++) put(ring, `flood${index}`, "x".repeat(100), "loud");
  const left = Array.from({ length: 100 }, (_, index) => get(ring, `quiet${index}`)).filter(
    (payload) => payload !== undefined,
  );
  t.ok(left.length >= 90, `${left.length} of 100 are left`);
  for (let index = 0; index < 1000; index++) put(ring, `more${index}`, "y".repeat(100), "quiet");
  const floods = Array.from({ length: 20_000 }, (_, index) => ring.get(`flood${index}`)).filter(
    (place) => place !== undefined,
  );
  t.ok(floods.length > 100, `${floods.length} records are left to the other, about a third of what there is room for`);
  t.end();
});

t.test("what is over is not moved", (t) => {
  const ring: RecordRing = new RecordRing(16 * 1024, (start) => ring.arena[start] === "o".charCodeAt(0));
  put(ring, "old", "over", "quiet");
  put(ring, "good", "good", "quiet");
  for (let index = 0; index < 2000; index++) put(ring, `flood${index}`, "x".repeat(100), "loud");
  t.equal(get(ring, "old"), undefined);
  t.equal(get(ring, "good"), "good");
  t.end();
});

t.test("records are deleted by the end of their key", (t) => {
  const ring = new RecordRing(10_000);
  for (const key of ["a web", "b web", "a xweb", "web", "we", "", "a other"]) ring.put(key, 10);
  ring.deleteEndingWith(" web");
  t.same(
    ["a web", "b web", "a xweb", "web", "we", "", "a other"].map((key) => ring.get(key) !== undefined),
    [false, false, true, true, true, true, true],
  );
  t.equal(ring.size, 5);
  t.end();
});
