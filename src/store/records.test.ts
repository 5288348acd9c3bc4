import fc from "fast-check";
import t from "tap";
import { placeOf, readRecord, recordAt, recordText } from "./records.js";
import { kinds, type Kind } from "./store.js";

const anyKind = fc.constantFrom(...(Object.keys(kinds) as Kind[]));

t.test("what was written is read, of every kind", (t) => {
  fc.assert(
    fc.property(anyKind, fc.jsonValue(), (kind, value) => {
      const read = readRecord(kind, recordText(kind, value));
      return "value" in read && JSON.stringify(read.value) === JSON.stringify(value);
    }),
  );
  t.throws(() => recordText("network", undefined), TypeError);
  t.end();
});

t.test("any text is read as something", (t) => {
  fc.assert(fc.property(anyKind, fc.string(), (kind, text) => typeof readRecord(kind, text) === "object"));
  t.same(readRecord("network", '{"version":7,"value":1}'), { newerVersion: 7 });
  t.end();
});

t.test("a place is of one record", (t) => {
  for (const [kind, key] of [
    ["network", "a"],
    ["endpoint", "a/b"],
    ["publication", "tcp :: 80"],
  ] as const)
    t.same(recordAt(placeOf(kind, key)), { kind, key });
  for (const place of ["", "network", "damaged/network/a", "toString/a", "other/a"])
    t.equal(recordAt(place), undefined);
  t.end();
});
